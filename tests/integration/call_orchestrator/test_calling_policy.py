"""Calling hours on a real server: outside them no one is dialled, and the log says for which rule."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from nats.aio.client import Client
from pydantic import ValidationError
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import (
    Ask,
    call_of,
    outcome_of,
    running,
    until,
    until_dialing,
    until_queued,
)

from call_orchestrator.composition import policy
from call_orchestrator.domain import calling_policy
from call_orchestrator.domain.calling_policy import CallingPolicy
from call_orchestrator.domain.disclosures import COLUMNS
from call_orchestrator.settings import Settings
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from contracts import (
    CallChangeRequested,
    CallPutOff,
    CallRequested,
    CallStatus,
    CampaignCreateRequested,
    CampaignStartRequested,
    ContactRequested,
    RequestedTerms,
    call_id_of,
)
from contracts.filters import call_state_filter
from contracts.number_digests import NumberDigests
from contracts.phrases import greeting_of

HEADER = (
    "country,region,purposes,voice,days,opens_at,closes_at,max_calls,within_hours,requires_consent,kind,basis,source,"
    "confidence\n"
)
REQUIRED = {"consent_at": "2026-01-02T10:00:00Z", "company": "Acme"}
"""What the shipped rules require in the United States."""
ZONE = ZoneInfo("America/New_York")
"""The zone of the number that `Ask` calls."""


def tomorrow() -> datetime:
    """09:00 on the next day in New York."""
    day = datetime.now(ZONE).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, 9, tzinfo=ZONE).astimezone(UTC)


@pytest.fixture
def closed_today(tmp_path: Path) -> Path:
    """Rules that close every day but tomorrow, from 09:00."""
    file = tmp_path / "closed.csv"
    opens_on = tomorrow().astimezone(ZONE).date().isoformat()
    closed = "*,*,*,any,mon-sun,,,,,no,house_default,test,test,high\n"
    file.write_text(f"{HEADER}{closed}*,*,*,any,{opens_on},09:00,20:00,,,no,house_default,test,test,high\n")
    return file


async def test_a_call_that_is_requested_outside_the_hours_waits_for_them(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, closed_today: Path
) -> None:
    async with running(nats_url, 1, calling_rules=closed_today):
        (call_id,) = await ask("night", 1)

        async def exists() -> bool:
            return await call_of(calls, call_id) is not None

        await until(exists)
        call = await call_of(calls, call_id)
    assert call
    assert (call.status, call.is_queued, call.due_at) == (CallStatus.PENDING, False, tomorrow())
    assert call.permission
    assert call.permission.policy_version == CallingPolicy.shipped(closed_today).version


async def test_a_call_that_waits_for_a_slot_when_the_hours_end_is_put_off_and_its_slot_is_free(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, closed_today: Path
) -> None:
    async with running(nats_url, 1, max_concurrent_calls=1):
        ids = await ask("evening", 3)
        (dialled,) = await until_dialing(calls, ids, 1)
        waiting = [call_id for call_id in ids if call_id != dialled]
        await until_queued(calls, waiting)
    async with running(nats_url, 1, calling_rules=closed_today, max_concurrent_calls=2):

        async def are_put_off() -> bool:
            return all([(call := await call_of(calls, one)) and call.due_at == tomorrow() for one in waiting])

        await until(are_put_off)
    for one in waiting:
        stored = await calls.last(call_state_filter(one))
        assert stored
        assert isinstance(stored.event, CallPutOff)
        assert stored.event.call.permission
    first = await call_of(calls, dialled)
    assert first
    assert first.status is CallStatus.DIALING, "an attempt that has begun goes on"
    policy = CallingPolicy.shipped(closed_today)
    record = await from_streams(bus_client, Scope())
    verification = await verify(record, calling_policy=policy)
    assert (verification.drifts, verification.doubts, verification.unjudged) == ((), (), 1), "one dial by other rules"
    (of_an_older_build,) = policy.versions - {policy.version}
    former = [
        replace(one, body=one.body.replace(policy.version.encode(), of_an_older_build.encode()))
        for one in record.messages
    ]
    assert await verify(replace(record, messages=former), calling_policy=policy) == verification


async def test_a_time_zone_is_kept_and_a_number_of_too_many_zones_is_refused_without_one(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    with pytest.raises(ValidationError, match="no time zone 'Mars/Olympus'; write its IANA name"):
        request("r-1", time_zone="Mars/Olympus")
    async with running(nats_url, 1):
        outcome = await outcome_of(bus_client, request("r-2", time_zone="America/Denver"))
    shipped = Path(calling_policy.__file__).with_name("rules.csv")
    async with running(nats_url, 1, calling_rules=shipped):
        refused = await outcome_of(bus_client, request("r-3", phone_number="+18005550123", **REQUIRED))
        lacking = await outcome_of(bus_client, request("r-4", purpose="service"))
    assert outcome.accepted
    assert not refused.accepted
    assert refused.reasons[0].startswith("not permitted by the calling policy: ")
    assert "no permitted time" in refused.reasons[0]
    assert "prior consent is required; give consent_at" in lacking.reasons[0]
    assert "(US: 47 CFR 64.1200(a)(1) with FCC 24-17" in lacking.reasons[0]
    assert await call_of(calls, call_id_of("r-3")) is None
    call = await call_of(calls, call_id_of("r-2"))
    assert call
    assert call.time_zone == "America/Denver"


async def test_a_call_without_what_a_rule_requires_is_refused_with_the_reason(
    nats_url: str, bus_client: Client, calls: EventLog, tmp_path: Path
) -> None:
    file = tmp_path / "requiring.csv"
    row = "*,*,*,any,mon-sun hol,00:00,24:00,,,no,house_default,test,test,high"
    file.write_text(f"{HEADER.strip()},requires\n{row},consent disclosure local_caller_id\n")
    consent = {"consent_at": "2026-01-02T10:00:00Z", "consent_source": "form 3"}
    terms = {"script_template": "Hello.", "language": "en"}
    met = {"company": "Acme", "caller_id": "+12125550100"}
    steps: tuple[tuple[dict[str, str], dict[str, str], str], ...] = (
        ({}, {}, "consent"),
        (consent, {}, "disclosure"),
        (consent, {"company": "Acme"}, "local_caller_id"),
    )
    said = tmp_path / "disclosures.csv"
    said.write_text(
        f"{','.join(COLUMNS)}\nUS,en,An AI of {{{{company}}}}.,Press {{{{opt_out_key}}}}.,code,test,test,high\n"
    )
    callers = frozenset({"+12125550100"})
    async with running(nats_url, 1, calling_rules=file, disclosures=said, caller_ids=callers):
        for number, (given, more, rule) in enumerate(steps):
            named = RequestedTerms.model_validate({**terms, **more})
            await outcome_of(bus_client, CampaignCreateRequested(campaign_id=f"c-{number}", terms=named))
            refused = await outcome_of(bus_client, request(f"r-{number}", campaign_id=f"c-{number}", **given))
            assert not refused.accepted, rule
            remedy = {"consent": "consent_at", "disclosure": "company", "local_caller_id": "caller_id"}[rule]
            assert remedy in refused.reasons[0]
        named = RequestedTerms.model_validate({**terms, **met})
        await outcome_of(bus_client, CampaignCreateRequested(campaign_id="spring", terms=named))
        contact = {"campaign_id": "spring", "phone_number": "+12125550123"}
        unknown = await outcome_of(bus_client, ContactRequested.model_validate(contact))
        known = await outcome_of(bus_client, ContactRequested.model_validate({**contact, **consent}))
        elsewhere = await outcome_of(bus_client, ContactRequested.model_validate({**contact, "campaign_id": "c-1"}))
        await outcome_of(bus_client, CampaignStartRequested(campaign_id="spring"))
        called = call_id_of(f"spring:{NumberDigests(b64decode(TEST_KEYS['NUMBER_DIGEST_KEY'])).of('+12125550123')}")
        await until_dialing(calls, [called], 1)
    assert (unknown.accepted, unknown.reasons[0].partition(":")[0]) == (False, "consent_at")
    assert known.accepted
    assert (elsewhere.accepted, "set company" in elsewhere.reasons[0]) == (False, True)
    call = await call_of(calls, called)
    assert call
    assert (call.company, call.caller_id, call.consent_source) == ("Acme", "+12125550100", "form 3")
    assert greeting_of(call) == "An AI of Acme. Press 9. Hello."
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=CallingPolicy.shipped(file))
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_single_call_meets_the_requirements_of_a_rule_by_its_own_terms(
    nats_url: str, bus_client: Client, calls: EventLog, tmp_path: Path
) -> None:
    file = tmp_path / "requiring.csv"
    row = "*,*,*,any,mon-sun hol,00:00,24:00,,,no,house_default,test,test,high"
    file.write_text(f"{HEADER.strip()},requires\n{row},consent disclosure local_caller_id\n")
    met = {"consent_at": "2026-01-02T10:00:00Z", "company": "Acme", "caller_id": "+12125550100", "opt_out_key": "#"}
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    callers = frozenset({"+12125550100", "+12125550101"})
    async with running(nats_url, 2, calling_rules=file, caller_ids=callers):
        lacking = [
            await outcome_of(bus_client, request(f"r-{lacking}", **{k: v for k, v in met.items() if k != lacking}))
            for lacking in ("consent_at", "company", "caller_id")
        ]
        foreign = await outcome_of(bus_client, request("r-4", **{**met, "caller_id": "+12125550199"}))
        created = await outcome_of(bus_client, request("r-5", scheduled_at=soon, **met))
        assert created.call_id, created.reasons
        changes: list[dict[str, object]] = [
            {"caller_id": "+12125550199"},
            {"caller_id": "+12125550101", "company": "Umbrella", "retention_days": 7},
        ]
        outcomes = [
            await outcome_of(bus_client, CallChangeRequested.model_validate({"call_id": created.call_id, **change}))
            for change in changes
        ]
    assert [one.accepted for one in lacking] == [False, False, False]
    assert foreign.reasons[0].startswith("caller_id: this installation may not call from this number")
    assert [one.accepted for one in outcomes] == [False, True]
    call = await call_of(calls, created.call_id)
    assert call
    assert (call.company, call.caller_id, call.retention_days) == ("Umbrella", "+12125550101", 7)
    assert greeting_of(call).startswith("This is Umbrella, ")
    assert "press the pound or hash key. Hello." in greeting_of(call)
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=CallingPolicy.shipped(file))
    assert (verification.drifts, verification.doubts) == ((), ())


def request(request_id: str, **fields: str) -> CallRequested:
    return CallRequested.model_validate(
        {
            "request_id": request_id,
            "campaign_id": "reminders",
            "contact_id": "c-1",
            "phone_number": "+12125550123",
            "script_template": "Hello.",
            "language": "en",
            **fields,
        }
    )


def test_an_invalid_file_of_rules_stops_the_service_and_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(f"{HEADER}US,,*,any,mon-fri,9,21:00,,,no,law,test,test,high\n")
    with pytest.raises(ValidationError, match=r"rules\.csv, line 2, column opens_at: .*write HH:MM"):
        Settings(calling_rules=file)
    with pytest.raises(ValidationError, match="CALLING_RULES names a readable CSV file"):
        Settings(calling_rules=tmp_path / "missing.csv")


def test_the_rules_are_read_once_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(f"{HEADER}US,,*,any,mon-fri,09:00,21:00,,,no,law,test,test,high\n")
    settings = Settings(calling_rules=file)
    file.unlink()
    assert policy(settings).calling_policy is settings.calling_policy
