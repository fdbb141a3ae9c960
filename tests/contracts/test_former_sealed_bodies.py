"""A sealed log of commit 4a075c7 is read, opened and verified: its bodies have the sealed bytes in base64, unpacked."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from centralita.replay.export_file import read_messages
from centralita.replay.record import from_file
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from contracts import CallDecision, Event, SpeechHeard, decode
from contracts.packing import unpacked
from contracts.personal import HIDDEN, PERSON_HEADER, Opened, Opener
from records.messages import Message
from sealing import PersonKey

DATA = Path(__file__).parents[1] / "data"
LOG = DATA / "sealed-log-4a075c7.jsonl.gz"
KEYS = {
    person: PersonKey(base64.b64decode(key))
    for person, key in json.loads((DATA / "sealed-log-4a075c7.keys.json").read_text()).items()
}


def opened_event(message: Message) -> Event:
    """Returns the event as a service with the keys reads it."""
    person = message.headers.get(PERSON_HEADER)
    if person is None:
        return decode(message.subject, message.body)

    def open(sealed: bytes | None) -> Opened:
        assert sealed is not None
        context = ".".join(message.subject.split(".")[:2]).encode()
        return dict(json.loads(unpacked(KEYS[person].open(sealed, context))))

    return decode(message.subject, message.body, Opener(person, open))


def events() -> Iterator[Event]:
    return map(opened_event, read_messages(LOG))


async def test_verification_of_the_sealed_log_has_no_drift() -> None:
    result = await verify(from_file(LOG, Scope()))
    assert (result.drifts, result.doubts) == ((), ())
    assert (result.calls, result.decisions, result.unjudged) == (3, 13, 3)  # 3 dials, by a calling policy of a test


def test_every_personal_text_of_the_sealed_log_is_opened() -> None:
    calls = [event.call for event in events() if isinstance(event, CallDecision)]
    assert len(calls) == 16
    assert all(call.phone_number.startswith("+1") and call.variables["name"] == "Ada" for call in calls)
    assert {call.number_digest for call in calls} == set(KEYS)
    spoken = [event.text for event in events() if isinstance(event, SpeechHeard)]
    assert len(spoken) == 6
    assert all(text.isprintable() and text not in ("", HIDDEN) for text in spoken)
