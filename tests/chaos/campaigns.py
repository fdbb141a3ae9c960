"""The declared campaigns of a chaos run: contacts over REST and over the bus, a pause, an opt-out, an end and a cap.

Every request to the REST API is repeated until it is answered, because services are killed meanwhile. Requests are made
one after the other: an API key may import one file at a time, and a resume must not overtake its pause.
"""

import asyncio
import csv
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from nats.aio.client import Client
from tests.chaos.upstream import Upstream

from centralita.embedded.ledger import set_callee_behaviour
from centralita.operations.rest_api import ContactFile, RestApi
from centralita.operations.rest_failures import RequestFailed
from chassis.stream_reader import last_sequence, read
from contracts import Call, CallCancelRequested, CallStatus, ContactAdded, ContactRequested, call_id_of, decode
from contracts.personal import without_keys
from contracts.streams import CONTACTS

HOURS, SAME_NUMBERS, CAPPED, ENDING = "chaos-hours", "chaos-same-numbers", "chaos-capped", "chaos-ending"
"""The campaigns: one with weekly hours that is paused, one with the same numbers, one whose numbers have a frequency
cap, and one whose period ends during the run."""
CAPPED_REGION, MAX_CAPPED_DIALS = "UT", 2
"""The numbers of this region may be dialled twice within 24 hours, which is longer than a run."""
RULES = f"""\
country,region,purposes,voice,days,opens_at,closes_at,max_calls,within_hours,requires_consent,kind,basis,source,confidence
*,*,*,any,mon-sun,00:00,24:00,,,no,house_default,simulated run: every hour is permitted,the simulator of Twilio,high
US,{CAPPED_REGION},*,any,mon-sun,00:00,24:00,{MAX_CAPPED_DIALS},24,no,law,the cap,the simulator of Twilio,high
"""
"""The calling rules of the run."""
API_KEY = "chaos-key"
SHARE = 0.3
"""The share of contacts among the requests and contacts of a run."""
PAUSED_FROM, PAUSED_UNTIL, ENDED_FROM = 0.35, 0.55, 0.7
"""When a campaign is paused and resumed, and when one ends: the share of the run's requests before it."""

_AREA_CODES = {HOURS: ("206", "303", "407", "469", "614"), CAPPED: ("801",), ENDING: ("704", "816")}
_NUMBERS_OF_CODE = 100
_CLOSED = {HOURS: 0.15, CAPPED: 0.15, ENDING: 0.5}
"""The share of contacts whose calling hours are closed during the whole run."""
_ALSO_IN_SECOND_CAMPAIGN = 0.6
_OPTS_OUT = 0.3
_FILE_ROWS = 6
_STARTS_IN, _ENDS_IN = timedelta(seconds=5), timedelta(seconds=3)
_PAUSE_SECONDS = 0.5
_NAME = "Ada"


def zone_at(hour: int, now: datetime) -> str:
    """Returns a time zone without daylight saving in which it is this hour."""
    zones = [f"Etc/GMT{offset:+}" for offset in range(-12, 13)]
    return next(zone for zone in zones if now.astimezone(ZoneInfo(zone)).hour == hour)


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of a campaign."""

    campaign_id: str
    contact_id: str
    phone_number: str
    time_zone: str

    @property
    def call_id(self) -> UUID:
        """The id of its call, if it has one."""
        return call_id_of(f"{self.campaign_id}:{self.contact_id}")

    @property
    def row(self) -> dict[str, str]:
        """Its row in a file."""
        return {
            "phone_number": self.phone_number,
            "contact_id": self.contact_id,
            "time_zone": self.time_zone,
            "name": _NAME,
        }

    def request(self) -> ContactRequested:
        """Returns the request for the bus."""
        return ContactRequested(
            campaign_id=self.campaign_id,
            contact_id=self.contact_id,
            phone_number=self.phone_number,
            time_zone=self.time_zone,
            variables={"name": _NAME},
        )


def terms(now: datetime) -> dict[str, dict[str, Any]]:
    """Returns the terms of the campaigns, by id."""
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    retry = {"max_retries": 1, "delay_seconds": 1}
    shared = {
        "purpose": "service",
        "weekly_hours": [{"days": days, "opens_at": "06:00", "closes_at": "18:00"}],
        "script_template": "Hello {{name}}, this is a reminder.\n\nAsk whether they can come.",
        "language": "en",
        "call_timeout_seconds": 8,
        "retry_policy": {"busy": retry, "no_answer": retry, "failed": retry},
    }
    often = {"max_retries": 4, "delay_seconds": 1}
    return {
        HOURS: shared,
        SAME_NUMBERS: {**shared, "starts_at": (now + _STARTS_IN).isoformat(), "max_concurrent_calls": 5},
        CAPPED: {**shared, "max_attempts": 6, "retry_policy": {"busy": often, "no_answer": often, "failed": retry}},
        ENDING: {**shared, "calls_per_minute": 60},
    }


@dataclass
class Campaigns:
    """Draws contacts, adds them to their campaigns, and keeps which ones were added."""

    api: RestApi
    upstream: Upstream
    tasks: asyncio.TaskGroup
    """Where the requests to the REST API run."""
    control: str
    folder: Path
    draw: random.Random
    log_line: Callable[[str], None]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    imported: set[Contact] = field(default_factory=set)
    """The contacts of acknowledged imports, without the refused rows."""
    published: dict[str, Contact] = field(default_factory=dict)
    """The contacts that were requested on the bus, by message id."""
    has_ended: bool = False
    """Whether the period of `ENDING` ends or has ended."""
    _rows: dict[str, list[Contact]] = field(default_factory=lambda: {HOURS: [], ENDING: []})
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_AREA_CODES, 0))
    _steps_done: int = 0
    _canceled: set[UUID] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by one request to the REST API; the others follow in their order."""

    @property
    def open_zone(self) -> str:
        """A zone in which the hours of the campaigns are open during the run."""
        return zone_at(9, self.now)

    @property
    def closed_zone(self) -> str:
        """A zone in which they are closed during the run."""
        return zone_at(21, self.now)

    @property
    def added(self) -> set[Contact]:
        """The contacts that were acknowledged and not refused."""
        outcomes, sent = self.upstream.outcomes, self.upstream.sent
        return self.imported | {
            contact
            for message_id, contact in self.published.items()
            if sent[message_id].sequence and (message_id not in outcomes or outcomes[message_id].accepted)
        }

    def begin(self) -> None:
        """Creates and starts the campaigns."""
        for campaign_id, its_terms in terms(self.now).items():
            self._enqueue(partial(self.api.create, {"campaign_id": campaign_id, **its_terms}))
            self._enqueue(partial(self.api.start, campaign_id))

    def act(self, share: float) -> None:
        """Pauses and resumes one campaign and ends another one, when this share of the run has been requested."""
        steps = ((PAUSED_FROM, self._pause), (PAUSED_UNTIL, self._resume), (ENDED_FROM, self._end))
        while self._steps_done < len(steps) and share >= steps[self._steps_done][0]:
            steps[self._steps_done][1]()
            self._steps_done += 1

    def open_contacts(self, waiting: Iterable[ContactAdded]) -> list[str]:
        """Returns a line for each waiting contact that will still become a call or expire."""
        return [
            f"{one.campaign_id}: {one.contact_id} waits"
            for one in waiting
            if one.time_zone != self.closed_zone or one.campaign_id == ENDING
        ]

    def _pause(self) -> None:
        self._enqueue(partial(self.api.pause, HOURS))

    def _resume(self) -> None:
        self._enqueue(partial(self.api.resume, HOURS))

    def _end(self) -> None:
        """Ends the period of a campaign in a few seconds. Its contacts that wait then expire."""
        self.has_ended = True
        self._import(ENDING)

        async def change() -> None:
            ends_at = datetime.now(UTC) + _ENDS_IN
            try:
                await self.api.change(ENDING, {**terms(self.now)[ENDING], "ends_at": ends_at.isoformat()})
            except RequestFailed as error:  # also if this instant has passed: with a later one
                raise RequestFailed(str(error)) from error

        self._enqueue(change)

    async def add_contact(self) -> bool:
        """Draws a contact, and adds it; returns False if the numbers are used up."""
        campaign_id = self.draw.choices((HOURS, CAPPED, ENDING), (5, 3, 2))[0]
        if campaign_id == ENDING and self.has_ended:
            campaign_id = HOURS
        count = self._counts[campaign_id]
        codes = _AREA_CODES[campaign_id]
        if count >= _NUMBERS_OF_CODE * len(codes):
            return False
        self._counts[campaign_id] += 1
        number = f"+1{codes[count // _NUMBERS_OF_CODE]}55501{count % _NUMBERS_OF_CODE:02d}"
        zone = self.closed_zone if self.draw.random() < _CLOSED[campaign_id] else self.open_zone
        contact = Contact(campaign_id, f"contact-{count:04d}", number, zone)
        await self._set_behaviour(contact)
        if campaign_id == CAPPED:
            self._publish(contact)
            return True
        if campaign_id == HOURS and self.draw.random() < _ALSO_IN_SECOND_CAMPAIGN:
            self._publish(Contact(SAME_NUMBERS, contact.contact_id, number, zone))
        self._rows[campaign_id].append(contact)
        if len(self._rows[campaign_id]) >= _FILE_ROWS:
            self._import(campaign_id)
        return True

    def import_remaining(self) -> None:
        """Imports the contacts that wait for a full file."""
        for campaign_id in self._rows:
            self._import(campaign_id)

    def cancel_held(self, open_calls: Iterable[Call]) -> None:
        """Cancels the calls that wait for longer than the run: for their cap, or in a campaign that is over."""
        for call in open_calls:
            is_capped = call.permission is not None and call.permission.rule == "frequency"
            is_held = is_capped or (self.has_ended and call.campaign_id == ENDING)
            if call.status is CallStatus.PENDING and is_held and call.call_id not in self._canceled:
                self._canceled.add(call.call_id)
                self.upstream.command(CallCancelRequested(call_id=call.call_id))

    async def _set_behaviour(self, contact: Contact) -> None:
        if contact.campaign_id == CAPPED:
            await set_callee_behaviour(self.control, contact.phone_number, self.draw.choice(("busy", "no_answer")))
        elif self.draw.random() < _OPTS_OUT:
            await set_callee_behaviour(
                self.control, contact.phone_number, self.draw.choice(("opts_out", "presses_key"))
            )

    def _publish(self, contact: Contact) -> None:
        message_id = f"{contact.campaign_id}-{contact.contact_id}"
        self.published[message_id] = contact
        self.upstream.add_contact(message_id, contact.request(), contact.call_id)

    def _import(self, campaign_id: str) -> None:
        """Writes the drawn contacts of the campaign to a file, and imports it."""
        contacts, self._rows[campaign_id] = self._rows[campaign_id], []
        if not contacts:
            return
        path = self.folder / f"{campaign_id}-{contacts[0].contact_id}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(contacts[0].row))
            writer.writeheader()
            writer.writerows(contact.row for contact in contacts)
        file_of_contacts = ContactFile(path, "text/csv", lambda sent, size: None)

        async def import_file() -> None:
            result = await self.api.import_contacts(
                campaign_id, file_of_contacts, dry_run=False, from_line=1, refused=None
            )
            refused_lines = {row["line"] for row in result["refused_rows"]}
            self.imported.update(one for line, one in enumerate(contacts, start=2) if line not in refused_lines)

        self._enqueue(import_file)

    def _enqueue(self, request: Callable[[], Awaitable[object]]) -> None:
        self.tasks.create_task(self._until_answered(request))

    async def _until_answered(self, request: Callable[[], Awaitable[object]]) -> None:
        """Repeats a request until it is carried out. A repeated one may be refused because an earlier try succeeded."""
        async with self._turn:
            is_repeated = False
            while True:
                try:
                    await request()
                except RequestFailed as error:
                    if error.status == 409 and is_repeated:
                        return
                    if error.status is not None and error.status != 429 and error.status < 500:
                        raise
                    self.log_line(f"repeated: {error}")
                    is_repeated = True
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    return


async def waiting_contacts(admin: Client) -> list[ContactAdded]:
    """Returns the contacts that wait for their calls."""
    found = []
    end = await last_sequence(admin, CONTACTS.name)
    async with aclosing(read(admin, CONTACTS.name, [ContactAdded.subjects()], end_sequence=end)) as messages:
        async for message in messages:
            event = decode(message.subject, message.data, without_keys(message.headers))
            assert isinstance(event, ContactAdded)
            found.append(event)
    return found
