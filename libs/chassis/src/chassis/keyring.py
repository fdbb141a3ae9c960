"""The keys of persons, in the stream ``KEYS``, and the bodies that are sealed under them (`contracts.personal`).

A person is a telephone number, and is named by its digest. A request, a contact, and an event that gives a call its
number make the key, if there is none. The state of a number makes the first one only. Any other event about the person
never makes one: once the key is destroyed, the event is stored without its personal fields. So a replica that still
knows the number does not bring the person back.

The keys that were used or received last are kept in memory. The server publishes each change of KEYS again, so a
destroyed key is dropped at once, and a new one is known before it is needed. Such a message may be lost. So a kept key
is read again after `MAX_AGE_SECONDS`, and after a reconnect.

**Another master key.** All processes know both while the keys are wrapped again (`centralita keys rotate`). New keys
are wrapped under the master key that has wrapped `key.check`, which is the first key to be wrapped again.
"""

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic_core import from_json

from chassis.deletion import erase_message
from chassis.direct_get import StoredMessage, get_newest, get_newest_of_each, stored_message
from chassis.event_log import Conflict, Guard, publish
from chassis.key_makers import makes_first_key, may_make_key, number_of
from chassis.leader_get import get_newest_of_leader
from chassis.leader_retry import retry_until_leader
from chassis.request_reply import request_all
from contracts import Event
from contracts.packing import packed, unpacked
from contracts.personal import ERASED, HIDDEN, PLACEHOLDERS, Opened, Opener, clear_and_personal, with_sealed
from contracts.streams import CHECKED_KEY, KEYS
from sealing import MasterKey, PersonKey, WrongKey, WrongMasterKey

MAX_KEYS = 10_000
MAX_TOGETHER = 500
"""How many keys one request names."""
MAX_AGE_SECONDS = 300.0
_CHECK = CHECKED_KEY.rpartition(".")[2]
"""Takes the place of a person."""
_PERSON = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class _Known:
    """The newest message of a person: the wrapped key, or nothing. It is unwrapped at its first use.

    `reconnects`: how often the connection was restored before it was read.
    """

    wrapped: bytes
    read_at: float
    reconnects: int
    key: PersonKey | None = None


class Keyring:
    """The keys of persons, which one connection reads and makes.

    `on_wrong_master_key` is called once `wrong_master_key` is set: the keys are wrapped under another master key.
    """

    def __init__(
        self, client: Client, master_key: MasterKey, *, on_wrong_master_key: Callable[[], None] = lambda: None
    ) -> None:
        self.wrong_master_key: WrongMasterKey | None = None
        self._client = client
        self._master_key = master_key
        self._on_wrong_master_key = on_wrong_master_key
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changes: Subscription | None = None

    async def start(self) -> None:
        """Begins to follow the changes of keys. Raises `sealing.WrongMasterKey`."""
        changes = KEYS.live(KEYS.subjects[0])
        self._changes = await self._client.subscribe(changes, cb=self._receive, pending_msgs_limit=0)
        await self._read([_CHECK])
        if self.key(_CHECK) is None:
            await self._made_key(_CHECK)

    async def stop(self) -> None:
        """Follows no more changes."""
        if self._changes:
            with suppress(NatsError):
                await self._changes.unsubscribe()

    @asynccontextmanager
    async def is_current(self) -> AsyncIterator[Self]:
        """Follows the changes of keys while the block runs. Raises as `start`."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def seal(self, event: Event, person: str) -> bytes:
        """Returns the body of an event, with its personal fields sealed under the key of the person.

        Without them if the key is destroyed, and the event makes none.
        """
        clear, personal = clear_and_personal(event.body(), type(event), person)
        number = number_of(event)
        if number == HIDDEN:
            raise ValueError(f"{event.event_name}: was read without the key of its person")
        has_number = bool(number) and number not in PLACEHOLDERS
        if has_number and may_make_key(event):
            key = (self.key(person) if self._find(person) else None) or await self._made_key(person)
        else:
            await self.load([person])
            found = self.key(person)
            if found is None and has_number and makes_first_key(event):
                found = await self._first_key(person)
            if found is None:
                return clear
            key = found
        return with_sealed(clear, key.seal(packed(personal), event.event_name.encode()))

    def seal_stored(self, body: bytes, kind: type[Event], person: str) -> bytes:
        """Returns the sealed form of a stored body in clear. `prepare` was called for the person."""
        clear, personal = clear_and_personal(body, kind, person)
        if (key := self.key(person)) is None:
            raise ValueError(f"{kind.event_name}: the key of its person was not prepared")
        return with_sealed(clear, key.seal(packed(personal), kind.event_name.encode()))

    async def destroy(self, person: str) -> bool:
        """Destroys the key of a person; returns whether there was one at any time. A repetition changes nothing.

        The stored key is overwritten. Then an empty message takes its place, which all services receive.
        """
        subject = _subject(person)
        first = message = await self._read_at_leader(person)
        while message is None or message.data:
            if message:
                await erase_message(self._client, KEYS.name, message.seq)
            with suppress(Conflict):  # another process has made a key meanwhile
                await publish(self._client, subject, b"", Guard(subject, 0).headers(subject))
            message = await self._read_at_leader(person)
        return first is not None

    async def load(self, persons: Collection[str | None]) -> None:
        """Reads the keys of these persons, at most `MAX_KEYS`, unless they are known. Needed right before `opener`."""
        wanted = {person for person in persons if person and _PERSON.fullmatch(person)}
        await self._read(wanted)
        while dropped := wanted.difference(self._known):  # for keys that arrived meanwhile
            await self._read(dropped)

    async def prepare(self, persons: Collection[str]) -> None:
        """Reads the keys of these persons, and makes those that are missing. So `seal` need not wait for each."""
        missing = await self._load_together(persons)
        keys = {person: PersonKey.generate() for person in missing}
        master_key = await self._wrapping_key()
        wrapped = [(person, master_key.wrap(key, person)) for person, key in keys.items()]
        requests = [(subject := _subject(one), body, Guard(subject, 0).headers(subject)) for one, body in wrapped]
        for (person, body), reply in zip(wrapped, await request_all(self._client, requests), strict=True):
            if reply is None or b'"error"' in reply.data:
                await self._made_key(person)
            else:
                self._note(person, body, keys[person])

    def opener(self, person: str, event_name: str) -> Opener:
        """Returns what opens the personal fields of an event about a person whose key was loaded."""

        def open(sealed: bytes | None) -> Opened | str:
            key = self.key(person)
            if sealed is None or key is None or not key.has_sealed(sealed):
                return ERASED
            try:
                opened: Mapping[str, object] = from_json(unpacked(key.open(sealed, event_name.encode())))
            except WrongKey as error:
                raise ValueError(str(error)) from error
            return opened

        return Opener(person, open)

    async def _read(self, persons: Collection[str]) -> None:
        """Notes the newest messages of persons. Asks the leader where the first node has no key: it may lag."""
        for person in await self._load_together(persons):
            await self._read_at_leader(person)

    async def _load_together(self, persons: Collection[str]) -> list[str]:
        """Notes the keys of those persons that are not known. Returns those of whom the node that answers has none."""
        unknown = {person: self._known.get(person) for person in persons if self._find(person) is None}
        missing = dict.fromkeys(unknown)
        for begin in range(0, len(unknown), MAX_TOGETHER):
            for message in await self._newest(list(unknown)[begin : begin + MAX_TOGETHER]):
                person = _person(message.subject)
                if message.data:
                    self._note_read(person, message.data, unknown[person])
                    del missing[person]
        return list(missing)

    async def _newest(self, persons: Sequence[str]) -> list[StoredMessage]:
        """Returns the newest messages of these persons that the first node has."""
        subjects = [_subject(person) for person in persons]
        if len(subjects) > 1:
            return await retry_until_leader(lambda: get_newest_of_each(self._client, KEYS.name, subjects))
        message = await retry_until_leader(lambda: get_newest(self._client, KEYS.name, subjects[0]))
        return [message] if message else []

    async def _made_key(self, person: str) -> PersonKey:
        """Returns a new key of a person, or the one that another process has made meanwhile."""
        subject, last_sequence = _subject(person), 0
        while True:
            key = PersonKey.generate()
            wrapped = (await self._wrapping_key()).wrap(key, person)
            try:
                await publish(self._client, subject, wrapped, Guard(subject, last_sequence).headers(subject))
            except Conflict:
                message = await self._read_at_leader(person)
                if other := self.key(person):
                    return other
                last_sequence = message.seq if message else 0
            else:
                self._note(person, wrapped, key)
                return key

    async def _first_key(self, person: str) -> PersonKey | None:
        """Returns a new key of a person who never had one; None if the key was destroyed."""
        return await self._made_key(person) if await self._read_at_leader(person) is None else None

    async def _wrapping_key(self) -> MasterKey:
        """Returns the master key that has wrapped the checked key: the former one, until all processes know both."""
        if self._find(_CHECK) is None:
            await self._read([_CHECK])
        former, known = self._master_key.former, self._known.get(_CHECK)
        return former if former and known and former.has_wrapped(known.wrapped) else self._master_key

    async def _read_at_leader(self, person: str) -> StoredMessage | None:
        known, message = self._known.get(person), None
        with suppress(NotFoundError):
            message = await retry_until_leader(lambda: get_newest_of_leader(self._client, KEYS.name, _subject(person)))
        self._note_read(person, message.data if message else b"", known)
        return message

    def _note_read(self, person: str, wrapped: bytes, known: _Known | None) -> None:
        """Notes what was read, unless a change was received since the read began. `known`: what was known then."""
        if self._known.get(person) is known:
            self._note(person, wrapped)

    async def _receive(self, message: Msg) -> None:
        stored = stored_message(message)
        person = _person(stored.subject)
        self._note(person, stored.data)
        if person == _CHECK:
            try:
                self.key(_CHECK)
            except WrongMasterKey as error:
                self.wrong_master_key = error
                self._on_wrong_master_key()

    def _note(self, person: str, wrapped: bytes, key: PersonKey | None = None) -> None:
        if key is None and (known := self._known.get(person)) and known.wrapped == wrapped:
            key = known.key
        self._known[person] = _Known(wrapped, monotonic(), self._client.stats["reconnects"], key)
        self._known.move_to_end(person)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)

    def _find(self, person: str) -> _Known | None:
        """Returns what is known about a person, unless it has to be read again. It becomes the last that was used.

        So the keys of a batch, and a key that is read again, stay while others are read or received.
        """
        if (known := self._known.get(person)) is None:
            return None
        self._known.move_to_end(person)
        has_no_gap = known.reconnects == self._client.stats["reconnects"]
        return known if has_no_gap and monotonic() - known.read_at < MAX_AGE_SECONDS else None

    def key(self, person: str) -> PersonKey | None:
        """Returns the key of a person, as the last read or change has it. Raises `sealing.WrongMasterKey`.

        It may have become too old since `load`. That is no reason to take it for destroyed.
        """
        known = self._known.get(person)
        if known is None or not known.wrapped:
            return None
        known.key = known.key or self._master_key.unwrap(known.wrapped, person)
        return known.key


def _subject(person: str) -> str:
    return f"key.{person}"


def _person(subject: str) -> str:
    return subject.rpartition(".")[2]
