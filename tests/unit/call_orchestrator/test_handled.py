"""The outcome of a request is published for the user that the source of the request names."""

from collections.abc import Mapping
from typing import cast

import pytest
from nats.aio.client import Client
from tests.builders.calls import NOW

from call_orchestrator.application.retention_periods import RetentionPeriods
from call_orchestrator.entrypoints.handled import Handled
from call_orchestrator.ports import ErasedRequests
from chassis.event_log import StoredEvent
from contracts import CallCancelRequested, CommandOutcome, Envelope, Service, call_id_of, published_outcome_subject
from contracts.askers import COMMAND_LINE

COMMAND = CallCancelRequested(call_id=call_id_of("r-1"))
OUTCOME = CommandOutcome(accepted=True)


class Published:
    """A client that keeps what is published."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, CommandOutcome]] = []

    async def publish(self, subject: str, body: bytes) -> None:
        self.messages.append((subject, CommandOutcome.model_validate_json(body)))


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({"ce-source": "edge"}, Service.EDGE),
        ({"ce-source": "centralita-cli"}, COMMAND_LINE),
        ({"ce-source": "edge.>"}, Service.UPSTREAM),
        ({"reply_to": "outcome.edge.1"}, Service.UPSTREAM),
        ({}, Service.UPSTREAM),
    ],
)
async def test_an_outcome_goes_to_the_asker_and_names_the_position_of_the_request(
    headers: Mapping[str, str], source: str
) -> None:
    published = Published()
    handled = Handled(cast(Client, published), cast(ErasedRequests, None), cast(RetentionPeriods, None))
    envelope = Envelope.read(headers, id="message-1", time=NOW)
    await handled.end(StoredEvent(COMMAND, envelope, 7), OUTCOME)
    expected = OUTCOME.model_copy(update={"request_sequence": 7})
    assert published.messages == [(published_outcome_subject(source, "message-1"), expected)]
