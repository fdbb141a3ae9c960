"""The waiting contacts of campaigns, in the stream CONTACTS, and the question when they may be called."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError
from pydantic import ValidationError

from chassis.direct_get import StoredMessage, get_newest_of_each, get_next
from chassis.event_log import EventLog, publish
from chassis.keyring import Keyring
from chassis.leader_get import get_newest_of_leader
from chassis.leader_retry import (
    REQUEST_TIMEOUT_SECONDS,
    SUBJECT_TAKEN,
    is_stream_full,
    is_subject_taken,
    retry_until_leader,
)
from chassis.request_reply import Replies, replies_of
from chassis.stored_event import stored_event_of_raw
from contracts import ContactAdded, ContactGroupAdded, NumberChanged, Service
from contracts.envelope import HEADERS
from contracts.number_state import DoNotCallEntry
from contracts.personal import PERSON_HEADER
from contracts.queries import CallingTimes, CallingTimesQuery
from contracts.streams import CONTACTS, NUMBERS
from edge.adapters.nats import translate_errors
from edge.ports import ContactPage, NewContact, Unavailable

MAX_IN_FLIGHT = 512
"""Contacts that are published and not yet acknowledged. They bound the memory of an import."""
CALLING_TIMES_SECONDS = 5.0
_ERRORS = (NatsError, TimeoutError, OSError)
_SUBJECT_TAKEN = SUBJECT_TAKEN.encode()
_HEADERS = {HEADERS["source"]: Service.EDGE.value}


class NatsContacts:
    """Implements `edge.ports.Contacts`."""

    def __init__(self, client: Client, log: EventLog, keyring: Keyring) -> None:
        self._client = client
        self._log = log
        self._keyring = keyring

    async def groups(self, campaign_id: str) -> set[str]:
        """Returns the zone groups of a campaign. Raises Unavailable."""
        async with translate_errors(self._client, "the contacts cannot be read"):
            stored = await self._log.read([ContactGroupAdded.subjects(campaign_id)])
        return {one.event.zone_group for one in stored if isinstance(one.event, ContactGroupAdded)}

    async def add_group(self, group: ContactGroupAdded) -> None:
        """Adds a group. The server refuses one that exists. Raises Unavailable."""
        async with translate_errors(self._client, "the contacts cannot be stored"):
            try:
                await self._log.append(group)
            except APIError as error:
                if not is_subject_taken(error):
                    raise

    def importer(self) -> "ContactPublisher":
        """Returns an importer that publishes contacts."""
        return ContactPublisher(self._client, self._keyring)

    async def waiting(self, subjects: Sequence[str]) -> set[str]:
        """Returns those of the subjects on which a contact waits. Raises Unavailable."""
        async with translate_errors(self._client, "the contacts cannot be read"):
            found = await retry_until_leader(lambda: get_newest_of_each(self._client, CONTACTS.name, subjects))
        return {message.subject for message in found}

    async def listed(self, campaign_id: str, list_names: Sequence[str], digests: Sequence[str]) -> dict[str, str]:
        """Returns the listed numbers and the reasons, from any node. A node may lag; a dial is checked again."""
        subjects = [NumberChanged.subject_for(digest) for digest in digests]
        async with translate_errors(self._client, "the do-not-call lists cannot be read"):
            found = await retry_until_leader(lambda: get_newest_of_each(self._client, NUMBERS.name, subjects))
            states = [stored_event_of_raw(message, NUMBERS.name).event for message in found]
        numbers = [state.number for state in states if isinstance(state, NumberChanged)]
        listings = {number.number_digest: number.listing(campaign_id, list_names) for number in numbers}
        return {digest: _reason(entry) for digest, entry in listings.items() if entry}

    async def page(self, campaign_id: str, *, after_sequence: int, limit: int) -> ContactPage:
        """Returns the waiting contacts of a campaign after a sequence, in the order of the stream. Raises Unavailable.

        One by one: for a page, the server would count all contacts after it, and answer no other request meanwhile.
        """
        filter, found = ContactAdded.subjects(campaign_id), list[StoredMessage]()
        async with translate_errors(self._client, "the contacts cannot be read"):
            while len(found) <= limit:
                start = (found[-1].seq if found else after_sequence) + 1
                get = partial(get_next, self._client, CONTACTS.name, filter, start)
                if (message := await retry_until_leader(get)) is None:
                    break
                found.append(message)
            stored = await self._log.decode_all(found[:limit])
        contacts = [(one.sequence, one.event) for one in stored if isinstance(one.event, ContactAdded)]
        return ContactPage(contacts, has_more=len(found) > limit)

    async def calling_times(self, query: CallingTimesQuery) -> CallingTimes:
        """Asks call-orchestrator. Raises Unavailable."""
        async with translate_errors(self._client, "call-orchestrator does not answer"):
            body = query.model_dump_json().encode()
            reply = await self._client.request(query.subject, body, timeout=CALLING_TIMES_SECONDS)
        if reason := (reply.headers or {}).get("Nats-Service-Error"):
            raise Unavailable(f"call-orchestrator: {reason}")
        try:
            return CallingTimes.model_validate_json(reply.data)
        except ValidationError as error:
            raise Unavailable("call-orchestrator sent an invalid answer") from error


def _reason(entry: DoNotCallEntry) -> str:
    scope = entry.list_name or ("of the campaign" if entry.campaign_id else "of all campaigns")
    return f"the number is on the do-not-call list {scope} (source: {entry.source})"


def _unavailable(error: Exception) -> Unavailable:
    reason = (
        "the stream CONTACTS is full: raise CONTACTS_MAX_MEGABYTES" if is_stream_full(error) else type(error).__name__
    )
    return Unavailable(f"the contacts cannot be stored: {reason}")


@dataclass(frozen=True, slots=True)
class _Open:
    """A contact whose result is open."""

    line: int
    subject: str
    body: bytes
    headers: dict[str, str]
    on_result: Callable[[bool], None]


class ContactPublisher:
    """Implements `edge.ports.Importer`: seals and publishes contacts, up to `MAX_IN_FLIGHT` at a time.

    A contact whose acknowledgement does not arrive, because a leader is elected or the connection was lost, is
    published again. If the server then refuses it as the second one, the waiting one is compared with it: both have the
    same body if the first try was stored, because it has the instant of the import.
    """

    def __init__(self, client: Client, keyring: Keyring) -> None:
        self._client = client
        self._keyring = keyring
        self._replies: Replies | None = None
        self._open: dict[str, _Open] = {}
        """The contacts that wait for an acknowledgement, by its subject, in the order of their lines."""
        self._again: list[_Open] = []
        self._unpublished: deque[NewContact] = deque()
        self._has_progress = asyncio.Event()

    async def add(self, contacts: Sequence[NewContact]) -> None:
        """Seals contacts, all together, and publishes them. Raises Unavailable."""
        self._unpublished = deque(contacts)
        try:
            await self._keyring.prepare([contact.number_digest for contact, _, _ in contacts])
        except (*_ERRORS, APIError) as error:
            raise Unavailable(f"the keys cannot be stored: {type(error).__name__}") from error
        try:
            bodies = [await self._keyring.seal(contact, contact.number_digest) for contact, _, _ in contacts]
            for new, body in zip(contacts, bodies, strict=True):
                while len(self._open) >= MAX_IN_FLIGHT or self._again:
                    await self._wait()
                await self._publish(new, body)
                self._unpublished.popleft()
        except _ERRORS as error:
            raise _unavailable(error) from error

    async def _publish(self, new: NewContact, body: bytes) -> None:
        self._replies = self._replies or await replies_of(self._client)
        reply = self._replies.expect(self._receive)
        contact, line, on_result = new
        headers = {**_HEADERS, PERSON_HEADER: contact.number_digest}
        one = self._open[reply] = _Open(line, contact.subject, body, headers, on_result)
        await self._client.publish(one.subject, one.body, reply=reply, headers=headers)

    async def flush(self) -> None:
        """Returns when each contact has its result. Raises Unavailable."""
        try:
            while self._open or self._again:
                await self._wait()
        except _ERRORS as error:
            raise _unavailable(error) from error

    def first_open_line(self) -> int | None:
        """Returns the first line whose contact has no result yet."""
        lines = [one.line for one in (*self._open.values(), *self._again)]
        return min([*lines, *(new.line for new in self._unpublished)], default=None)

    def close(self) -> None:
        """Ignores the acknowledgements that have not arrived."""
        for reply in self._open:
            if self._replies:
                self._replies.forget(reply)
        self._open = {}

    async def _wait(self) -> None:
        """Waits for an acknowledgement; publishes again what has none. Raises an error of nats-py."""
        if not self._again:
            self._has_progress.clear()
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                    await self._has_progress.wait()
            except TimeoutError:
                self._again += self._open.values()
                self.close()
        while self._again:
            one = self._again[0]
            one.on_result(await self._publish_again(one))
            self._again.pop(0)

    def _receive(self, message: Msg) -> None:
        one = self._open.pop(message.subject)
        if self._replies:
            self._replies.forget(message.subject)
        self._has_progress.set()
        if message.data and b'"error"' not in message.data:
            one.on_result(True)
        elif _SUBJECT_TAKEN in message.data:
            one.on_result(False)
        else:
            self._again.append(one)

    async def _publish_again(self, one: _Open) -> bool:
        """Publishes a contact, waiting for a leader. Returns whether it is the one that waits."""
        try:
            await publish(self._client, one.subject, one.body, one.headers)
        except APIError as error:
            if not is_subject_taken(error):
                raise
            get = get_newest_of_leader
            waiting = await retry_until_leader(lambda: get(self._client, CONTACTS.name, one.subject))
            return waiting is not None and waiting.data == one.body
        return True
