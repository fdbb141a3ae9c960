"""Which call a stored message is about."""

from datetime import UTC, datetime

import pytest

from contracts import call_id_of
from contracts.streams import REQUESTS
from records.call_ids import call_of, campaign_of
from records.messages import Message

DEEP = b"[" * 100_000


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"request_id": null}', DEEP, b'{"request_id": ' + DEEP])
def test_a_request_whose_id_cannot_be_read_is_known_by_its_message_and_names_no_campaign(body: bytes) -> None:
    message = Message(REQUESTS.name, 7, datetime(2026, 1, 1, tzinfo=UTC), "call.requested", {"ce-id": "r-7"}, body)

    assert call_of(message) == str(call_id_of(message.identity))
    assert campaign_of(message) is None
