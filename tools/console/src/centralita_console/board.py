"""The calls in progress and the calls that ended last: a board that is kept current by the decisions of the log.

Each decision carries the call after it, so a board needs no history: it begins with the lists of the REST API and then
replaces a call by its newer state.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts import CallStatus

COLUMNS = (CallStatus.PENDING, CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS)
MAX_CARDS = 50
"""Calls of a column that are shown; the others are counted."""
MAX_OPEN = 5_000
"""Calls that a board remembers. The oldest is forgotten when another one begins."""
MAX_ENDINGS = 20


@dataclass(frozen=True, slots=True)
class Card:
    """One call, as the board shows it. `since` is when its status began."""

    call_id: str
    contact_id: str
    campaign_id: str
    status: CallStatus
    since: str
    reason: str
    attempt: int
    duration: int | None = None
    """Talk time in seconds, if it is known."""

    @classmethod
    def of_summary(cls, call: Mapping[str, Any]) -> "Card":
        """Returns the card of a call in a list of the REST API."""
        reason = str(call["disposition"] or call["reason"] or "")
        place = (call["id"], call["contact_id"], call["campaign_id"])
        since = call["status_changed_at"]
        return cls(*place, CallStatus(call["status"]), since, reason, call["attempts"], call["duration"])

    @classmethod
    def of_decision(cls, call: Mapping[str, Any]) -> "Card":
        """Returns the card of the call that a decision carries."""
        reason = str(call["disposition"] or call["reason"] or "")
        place = (call["call_id"], call["contact_id"], call["campaign_id"])
        since = call["status_changed_at"]
        return cls(*place, CallStatus(call["status"]), since, reason, call["attempt"], call["duration_seconds"])


@dataclass(slots=True)
class Board:
    """The open calls by id, and the last endings, newest first."""

    open_calls: OrderedDict[str, Card] = field(default_factory=OrderedDict)
    endings: list[Card] = field(default_factory=list)
    sequence: int = 0
    changed: set[str] = field(default_factory=set)
    """Calls that events have changed since the board began. The lists may be older."""

    def begin(self) -> None:
        """Begins anew: the lists that follow count for every call, until an event changes it."""
        self.changed.clear()

    def include(self, open_calls: Iterable[Card], endings: Iterable[Card]) -> None:
        """Replaces the calls that no event has changed by what the lists contain."""
        current = {one: card for one, card in self.open_calls.items() if one in self.changed}
        listed = {card.call_id: card for card in open_calls if card.call_id not in self.changed}
        self.open_calls = OrderedDict(listed | current)
        ended = [card for card in self.endings if card.call_id in self.changed]
        ended += [card for card in endings if card.call_id not in self.changed]
        self.endings = sorted(ended, key=lambda card: card.since, reverse=True)[:MAX_ENDINGS]

    def apply(self, sequence: int, resource: Mapping[str, Any]) -> bool:
        """Applies one event. Returns whether it is a decision about a call: others change nothing."""
        self.sequence = max(self.sequence, sequence)
        call = resource["data"].get("call")
        if not call:
            return False
        card = Card.of_decision(call)
        if len(self.changed) < MAX_OPEN:
            self.changed.add(card.call_id)
        if card.status.is_final:
            self.open_calls.pop(card.call_id, None)
            others = [one for one in self.endings if one.call_id != card.call_id]
            self.endings = [card, *others][:MAX_ENDINGS]
        else:
            self.open_calls[card.call_id] = card
            self.endings = [one for one in self.endings if one.call_id != card.call_id]
            while len(self.open_calls) > MAX_OPEN:
                self.open_calls.popitem(last=False)
        return True

    def columns(self) -> list[tuple[CallStatus, int, list[Card]]]:
        """Returns each column: its status, how many calls it has, and the cards that are shown, longest first."""
        columns: dict[CallStatus, list[Card]] = {status: [] for status in COLUMNS}
        for card in self.open_calls.values():
            columns[card.status].append(card)
        return [
            (status, len(cards), sorted(cards, key=lambda card: card.since)[:MAX_CARDS])
            for status, cards in columns.items()
        ]
