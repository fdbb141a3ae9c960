"""``centralita call``: requests one call over NATS, as an upstream system does."""

from datetime import UTC, datetime
from json import loads
from pathlib import Path
from typing import Annotated

import typer
import uuid_utils
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from pydantic import ValidationError

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.commands.master_keys import keyring_of
from centralita.commands.output import print_json, screen
from centralita.commands.tail import print_events
from centralita.operations.following import Follower
from chassis.outcomes import next_outcome
from contracts import (
    CallRequested,
    CommandOutcome,
    ConversationMode,
    Envelope,
    Purpose,
    call_id_of,
    outcome_subject,
    reasons_of,
)
from contracts.askers import COMMAND_LINE

ANSWER_SECONDS = 10.0
SCRIPT = "Hello, this is a call from Centralita.\n\nSay who you are, ask how they are, and say goodbye."
BY_HAND = "by-hand"
_DEFAULT = "default: that of the campaign; without --campaign, a short one in English"

app = typer.Typer()
_RETRY_POLICY = 'rules by outcome, such as {"busy": {"max_retries": 3, "delay_seconds": 120, "backoff": 2}}'
_ConsentAt = Annotated[datetime | None, typer.Option(help="when the person consented to be called, in UTC")]
_ConsentSource = Annotated[str | None, typer.Option(help="where the consent is recorded, such as a form")]
_Company = Annotated[str | None, typer.Option(help="on whose behalf; the greeting begins with it")]
_CallerId = Annotated[str | None, typer.Option(help="the number that calls, one of CALLER_IDS")]
_Voice = Annotated[str | None, typer.Option(help="id of the voice that speaks")]
_OptOutKey = Annotated[str | None, typer.Option(help="the key that asks for no more calls, or off; default: 9")]
_RetentionDays = Annotated[int | None, typer.Option(help="days until the person is erased, after the last call")]
_Mode = Annotated[ConversationMode | None, typer.Option(help="how the conversation is held; default: the campaign's")]
_Purpose = Annotated[Purpose | None, typer.Option(help="why; default: the rules of all purposes apply")]
_TimeZone = Annotated[str | None, typer.Option(help="of the callee, such as America/New_York; default: the number's")]
_ScriptFile = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="a file with the script")]
_Voicemail = Annotated[str | None, typer.Option(metavar="TEXT", help="message to a machine; default: hang up")]
_Pairs = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="may be repeated")]


@app.command("call", epilog=exit_codes.EPILOG)
def run_call(
    phone_number: Annotated[str, typer.Argument(help="in E.164, such as +12125550123", show_default=False)],
    campaign: Annotated[str | None, typer.Option(help=f"id of the campaign; default: {BY_HAND}")] = None,
    contact: Annotated[str, typer.Option(help="your id of the callee")] = BY_HAND,
    script: Annotated[str | None, typer.Option(help=f"its first paragraph is the greeting; {_DEFAULT}")] = None,
    script_file: _ScriptFile = None,
    variable: _Pairs = None,
    metadata: _Pairs = None,
    language: Annotated[str | None, typer.Option(help=f"es or en, with or without a region; {_DEFAULT}")] = None,
    mode: _Mode = None,
    purpose: _Purpose = None,
    time_zone: _TimeZone = None,
    at: Annotated[datetime | None, typer.Option(help="not before this instant, in UTC")] = None,
    retries: Annotated[int | None, typer.Option(help="number of attempts after the first")] = None,
    retry_delay: Annotated[int | None, typer.Option(help="seconds between two attempts")] = None,
    retry_policy: Annotated[str | None, typer.Option(metavar="JSON", help=_RETRY_POLICY)] = None,
    voicemail: _Voicemail = None,
    ring: Annotated[int | None, typer.Option(help="maximum seconds of ringing")] = None,
    consent_at: _ConsentAt = None,
    consent_source: _ConsentSource = None,
    company: _Company = None,
    caller_id: _CallerId = None,
    voice: _Voice = None,
    opt_out_key: _OptOutKey = None,
    retention_days: _RetentionDays = None,
    request_id: Annotated[str | None, typer.Option(help="the same request id is the same call")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="print the call's events until it has ended")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Requests one call and prints its id."""
    fields: dict[str, object] = {
        "request_id": request_id or str(uuid_utils.uuid7()),
        "campaign_id": campaign or BY_HAND,
        "contact_id": contact,
        "phone_number": phone_number,
        "script_template": script_file.read_text() if script_file else script or (None if campaign else SCRIPT),
        "variables": _pairs(variable, "--variable"),
        "metadata": _pairs(metadata, "--metadata"),
        "language": language or (None if campaign else "en"),
        "mode": mode,
        "purpose": purpose,
        "time_zone": time_zone,
        "scheduled_at": options.in_utc(at),
        "max_retries": retries,
        "retry_delay_seconds": retry_delay,
        "retry_policy": _json(retry_policy, "--retry-policy"),
        "call_timeout_seconds": ring,
        "voicemail": {"message": voicemail} if voicemail else None,
        "consent_at": options.in_utc(consent_at),
        "consent_source": consent_source,
        "company": company,
        "caller_id": caller_id,
        "voice": voice,
        "opt_out_key": opt_out_key,
        "retention_days": retention_days,
    }
    exit_codes.run(_request(nats, _validated(fields), follow=follow, numbers=numbers, json=json))


async def _request(nats: str, request: CallRequested, *, follow: bool, numbers: bool, json: bool) -> None:
    async with connected(nats) as client:
        try:
            outcome = await request_call(client, request)
        except NatsTimeoutError:
            call_id = call_id_of(request.request_id or "")
            raise CommandFailed(
                f"{call_id}: the request is stored, but no call-orchestrator answered within {ANSWER_SECONDS:.0f} s. "
                "Start one, for example with `centralita up`."
            ) from None
        _print_outcome(outcome, json=json)
        if follow:
            follower = Follower(client, call_id=outcome.call_id, past=True, keyring=keyring_of(client, nats))
            await print_events(follower, numbers=numbers, json=json)


async def request_call(client: Client, request: CallRequested) -> CommandOutcome:
    """Publishes a request that has a `request_id`, and returns the orchestrator's answer.

    Raises nats.errors.TimeoutError if no answer arrives in time; the request is stored nevertheless.
    """
    envelope = Envelope.of(id=str(uuid_utils.uuid7()), source=COMMAND_LINE, time=datetime.now(UTC))
    outcomes = await client.subscribe(outcome_subject(envelope.id))
    body = request.body()
    sequence = (await client.jetstream().publish(request.subject, body, headers=envelope.headers())).seq
    return await next_outcome(outcomes, sequence, ANSWER_SECONDS)


def _validated(fields: dict[str, object]) -> CallRequested:
    try:
        return CallRequested.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        exit_codes.fail("\n".join(reasons_of(error)), code=ExitCode.WRONG_USE)


def _pairs(arguments: list[str] | None, option: str) -> dict[str, str]:
    pairs = [argument.partition("=") for argument in arguments or []]
    if not all(name and sign for name, sign, _ in pairs):
        exit_codes.fail(f"{option}: write it as NAME=VALUE", code=ExitCode.WRONG_USE)
    return {name: value for name, _, value in pairs}


def _json(text: str | None, option: str) -> object:
    try:
        return None if text is None else loads(text)
    except ValueError as error:
        exit_codes.fail(f"{option}: no JSON: {error}", code=ExitCode.WRONG_USE)


def _print_outcome(outcome: CommandOutcome, *, json: bool) -> None:
    if json:
        print_json(outcome, lines=True)
    elif outcome.accepted:
        screen.print(str(outcome.call_id), highlight=False)
    if not outcome.accepted:
        exit_codes.fail("refused: " + "; ".join(outcome.reasons))
