"""A log exported by an older build (commit a45b024) is still read: stored fields keep their old names as aliases."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from call_orchestrator.application.snapshots import call_after, state_of
from call_orchestrator.domain import decisions
from contracts import Call, CallDecision, CallStatusChanged, CampaignDecision, decode
from contracts.examples import EXAMPLES

LOG = Path(__file__).parents[1] / "data" / "log-a45b024.jsonl.gz"
RENAMED_IN_CALL = {
    "never_rang": "undialled_attempts",
    "refusals": "undialled_in_a_row",
    "dial_by": "dial_expires_at",
    "queued": "is_queued",
    "deadline": "deadline_at",
    "since": "status_changed_at",
    "hangup": "hangup_reason",
    "checks": "settlement_checks",
}
RENAMED = [
    ("queue.joined", "due", "due_sequence"),
    ("admission.granted", "due", "due_sequence"),
    ("admission.granted", "since", "replay_from_sequence"),
    ("admission.released", "granted", "grant_sequence"),
    ("dial.cleared", "since", "replay_from_sequence"),
    ("dial.refused", "permanent", "is_permanent"),
    ("telephony.status_reported", "permanent", "is_permanent"),
    ("audio.requested", "repeats", "is_reusable"),
    ("audio.ready", "seconds", "duration_seconds"),
    ("audio.ready", "cached", "is_cached"),
    ("reply.generated", "fallback", "is_fallback"),
    ("reply.generated", "step", "source"),
    ("timer.due", "deadline", "deadline_at"),
]


def messages() -> Iterator[dict[str, Any]]:
    """The exported messages in the order of their streams; the first line of the file is its manifest."""
    with gzip.open(LOG, "rt") as lines:
        next(lines)
        yield from map(json.loads, lines)


def decisions_by_call() -> dict[str, list[CallDecision]]:
    """The ``call.*`` events of each call, in order."""
    found: dict[str, list[CallDecision]] = {}
    for message in messages():
        event = decode(message["subject"], message["body"].encode())
        if isinstance(event, CallDecision):
            found.setdefault(str(event.call_id), []).append(event)
    return found


def test_every_message_decodes_and_keeps_every_value() -> None:
    for message in messages():
        event = decode(message["subject"], message["body"].encode())
        old = json.loads(message["body"])
        if isinstance(event, CallDecision):
            old["call"] = {RENAMED_IN_CALL.get(name, name): value for name, value in old["call"].items()}
        if isinstance(event, CampaignDecision):
            assert event.campaign_id == old.pop("campaign_id")
            assert event.campaign.reason == old.pop("reason", None)
            old["campaign"] = event.campaign.model_dump(mode="json", exclude_unset=True)
        for event_name, old_name, new_name in RENAMED:
            if event.event_name == event_name and old_name in old:
                old[new_name] = old.pop(old_name)
        new = event.model_dump(mode="json", exclude_unset=True)
        assert new == type(event).model_validate(old).model_dump(mode="json", exclude_unset=True)
        assert new.keys() == old.keys()


def test_the_log_has_decisions_of_every_call() -> None:
    assert len(decisions_by_call()) == 30


def test_folding_each_call_gives_the_state_in_its_last_snapshot() -> None:
    for events in decisions_by_call().values():
        folded: Call | None = None
        for event in events:
            if isinstance(event, CallStatusChanged):
                assert folded is not None
                assert event.previous is folded.status
                assert (event.status, event.attempt) == (event.call.status, event.call.attempt)
            before = folded or event.call
            same = decisions.CallStatusChanged(
                state=state_of(event.call),
                reason=event.call.reason,
                duration_seconds=event.call.duration_seconds,
            )
            folded = call_after(before, same, event.occurred_at)
            changed_by_request = {name: getattr(event.call, name) for name in getattr(event, "changed", ())}
            changed_by_request["duration_seconds"] = event.call.duration_seconds  # then that of the last attempt
            folded = folded.model_copy(update={**changed_by_request, "status_changed_at": folded.status_changed_at})
            assert folded == event.call


@pytest.mark.parametrize(("event_name", "old_name", "new_name"), RENAMED)
def test_an_event_is_read_under_the_old_and_the_new_name_and_written_under_the_new(
    event_name: str, old_name: str, new_name: str
) -> None:
    example = EXAMPLES[event_name]
    new = json.loads(example.model_dump_json())
    old = {old_name if name == new_name else name: value for name, value in new.items()}
    assert old_name not in new
    assert decode(example.subject, json.dumps(old).encode()) == example
    assert decode(example.subject, json.dumps(new).encode()) == example


@pytest.mark.parametrize(("old_name", "new_name"), RENAMED_IN_CALL.items())
def test_a_snapshot_is_read_under_the_old_and_the_new_name(old_name: str, new_name: str) -> None:
    for name in ("call.due", "call.hangup_requested"):
        example = EXAMPLES[name]
        body = json.loads(example.model_dump_json())
        body["call"][old_name] = body["call"].pop(new_name)
        assert decode(example.subject, json.dumps(body).encode()) == example


def test_a_campaign_event_of_version_1_is_paused_or_not_by_its_type() -> None:
    campaigns = [
        event.campaign
        for message in messages()
        if isinstance(event := decode(message["subject"], message["body"].encode()), CampaignDecision)
    ]
    assert [campaign.is_paused for campaign in campaigns] == [True, False]
    assert all(campaign.changed_at for campaign in campaigns)
