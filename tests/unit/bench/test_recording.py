"""Copies of a recorded call: other ids, consistently, and sequences that move with the copy."""

import json
import re

from bench.calls.recording import Recording, Template
from bench.calls.streams import StoredMessage

from contracts import call_id_of

REQUEST_ID = "bench-3f7a52a4-1c54-4c8e-9d2b-0a8b4d6f1e11"
CALL_ID = str(call_id_of(REQUEST_ID))
EVENT_ID = "01a22357-459a-713e-b20c-93dac44859e8"
PROVIDER_ID = "CA" + "5" * 32


def recording() -> Recording:
    header = f"NATS/1.0\r\nce-id: {EVENT_ID}\r\nNats-Msg-Id: {EVENT_ID}\r\n\r\n".encode()
    granted = {"call_id": CALL_ID, "due_sequence": 41, "replay_from_sequence": 7}
    created = {"call": {"call_id": CALL_ID, "request_id": REQUEST_ID, "command_sequence": 12}}
    placed = {"call_id": CALL_ID, "provider_call_id": PROVIDER_ID, "granted_sequence": 42}
    reported = f"NATS/1.0\r\nce-id: twilio/{PROVIDER_ID}/0\r\ncausation: {EVENT_ID}\r\n\r\n".encode()
    messages = (
        StoredMessage("REQUESTS", 12, "call.requested", b"", json.dumps({"request_id": REQUEST_ID}).encode()),
        StoredMessage("CALLS", 41, f"call.created.{CALL_ID}.pending", header, json.dumps(created).encode()),
        StoredMessage("CALLS", 42, "admission.granted", header, json.dumps(granted).encode()),
        StoredMessage("CALLS", 44, f"dial.placed.{CALL_ID}", reported, json.dumps(placed).encode()),
    )
    return Recording("unanswered", REQUEST_ID, messages)


def ids_of(text: bytes) -> list[str]:
    return re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}|CA[0-9a-f]{32}", text.decode())


def test_a_copy_has_new_ids_that_refer_to_each_other_as_the_recorded_ones_do() -> None:
    call_id, texts = Template(recording()).copy({"REQUESTS": 100, "CALLS": 1000})
    original = [text for one in recording().messages for text in (one.subject.encode(), one.header, one.body)]
    renamed = dict(zip(ids_of(b"".join(original)), ids_of(b"".join(texts)), strict=True))
    assert ids_of(b"".join(texts)) == [renamed[one] for one in ids_of(b"".join(original))]
    assert not set(renamed) & set(renamed.values())
    assert len(set(renamed.values())) == len(renamed)
    assert renamed[CALL_ID] == call_id == str(call_id_of(json.loads(texts[2])["request_id"]))
    assert [len(text) for text in texts[:2]] == [len(text) for text in original[:2]]


def test_sequences_of_a_copy_keep_their_distance_to_its_first_message() -> None:
    _, texts = Template(recording()).copy({"REQUESTS": 100, "CALLS": 1000})
    assert json.loads(texts[5])["call"]["command_sequence"] == 100
    assert json.loads(texts[8])["due_sequence"] == 1000
    assert json.loads(texts[8])["replay_from_sequence"] == 1000 - 41 + 7
    assert json.loads(texts[11])["granted_sequence"] == 1001


def test_a_sequence_of_a_copy_is_never_less_than_one() -> None:
    _, texts = Template(recording()).copy({"REQUESTS": 1, "CALLS": 2})
    assert json.loads(texts[8])["replay_from_sequence"] == 1


def test_two_copies_share_no_id() -> None:
    template = Template(recording())
    first, second = (b"".join(template.copy({})[1]) for _ in range(2))
    assert not set(ids_of(first)) & set(ids_of(second))
