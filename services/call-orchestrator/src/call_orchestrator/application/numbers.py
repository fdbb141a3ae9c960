"""Loads the states of numbers, and appends changes of them.

Each change is one message on the literal subject of the number, appended on the condition that the loaded state is
still the newest one, as for calls (law 1). The stream keeps the newest message of each number.

A state that this replica loaded or appended is kept for the next change. It may be stale: an append that is based on it
then fails, and the state is loaded again. States from before a reconnection are not used, as in `recent_calls`.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from call_orchestrator.ports import NumberLog
from chassis.event_log import Conflict, Guard, StoredEvent
from contracts import Call, Envelope, NumberChanged, NumberState
from contracts.number_digests import NumberDigests
from contracts.personal import PLACEHOLDERS

MAX_RECENT_NUMBERS = 1_000
MIN_RETENTION = timedelta(days=7)
"""How long the state of a number is kept at least, if it is not listed and nothing about its person has to be erased.

A call ends within hours."""


@dataclass(frozen=True, slots=True)
class StoredNumber:
    """The newest state of a number and its sequence; 0: it has none. `is_fresh`: it was read for this decision."""

    number: NumberState
    sequence: int
    is_fresh: bool = True


class Numbers:
    """The states of numbers."""

    def __init__(
        self,
        log: NumberLog,
        digests: NumberDigests,
        longest_cap: timedelta,
        reconnections: Callable[[], int] = lambda: 0,
    ) -> None:
        """`longest_cap`: for how long the dials of a number count."""
        self._log = log
        self._digests = digests
        self._retention = max(longest_cap, MIN_RETENTION)
        self._reconnections = reconnections
        self._since = reconnections()
        self._recent: OrderedDict[str, StoredNumber] = OrderedDict()

    def digest_of(self, phone_number: str) -> str:
        """Returns the digest of a number."""
        return self._digests.of(phone_number)

    def digest_of_call(self, call: Call) -> str:
        """Returns the digest of the number of a call, which may be erased."""
        if call.number_digest and call.phone_number in PLACEHOLDERS:
            return call.number_digest
        return self.digest_of(call.phone_number)

    async def recent(self, digest: str) -> StoredNumber:
        """Returns the number as this replica knows it, perhaps stale, or else as `load_digest`."""
        if (since := self._reconnections()) != self._since:
            self._since = since
            self._recent.clear()
        return self._recent.get(digest) or await self.load_digest(digest)

    async def load_digest(self, digest: str) -> StoredNumber:
        """Returns the number with this digest as the leader has it."""
        return self._note(digest, await self._log.last(NumberChanged.subject_for(digest)))

    async def load_of_any_node(self, phone_number: str) -> StoredNumber:
        """Returns the number as any node has it, which may lag."""
        digest = self._digests.of(phone_number)
        return self._note(digest, await self._log.last_of_any_node(NumberChanged.subject_for(digest)))

    async def append(self, stored: StoredNumber, number: NumberState, cause: Envelope) -> StoredNumber:
        """Appends the state that follows `stored`. Raises Conflict if another one was appended first."""
        digest = number.number_digest
        number = number.without_dials_before(self._log.now() - self._retention)
        is_kept = number.is_listed or number.kept_until is not None
        ttl_seconds = None if is_kept else int(self._retention.total_seconds())
        changed = NumberChanged(number=number, occurred_at=self._log.now())
        guard, person = Guard(changed.subject, stored.sequence), digest if number.phone_number else None
        try:
            appended = await self._log.append(changed, cause=cause, guard=guard, ttl_seconds=ttl_seconds, person=person)
        except Conflict:
            self._recent.pop(digest, None)
            raise
        return self._note(digest, appended)

    def _note(self, digest: str, last: StoredEvent | None) -> StoredNumber:
        if last and isinstance(last.event, NumberChanged):
            stored = StoredNumber(last.event.number, last.sequence)
        else:
            stored = StoredNumber(NumberState(number_digest=digest), 0)
        self._recent[digest] = StoredNumber(stored.number, stored.sequence, is_fresh=False)
        self._recent.move_to_end(digest)
        if len(self._recent) > MAX_RECENT_NUMBERS:
            self._recent.popitem(last=False)
        return stored
