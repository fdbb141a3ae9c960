"""Why the edge refuses a request."""

from uuid import UUID

from edge.application.keys import Key, Scope
from edge.ports import Unavailable


class UnknownCall(Exception):
    """The log has no call of this id. `reason`: what a person can understand who does not know the id."""

    def __init__(self, call_id: UUID, reason: str | None = None) -> None:
        super().__init__(reason or f"no call has the id {call_id}")
        self.call_id = call_id
        self.reason = reason


class UnknownDeadLetter(Exception):
    """There is no dead letter with this sequence."""

    def __init__(self, sequence: int) -> None:
        super().__init__(
            f"there is no dead letter {sequence}: it was resent, dropped or erased with a person, or it never existed; "
            "see the audit log"
        )


class MissingScope(Exception):
    """The API key lacks the scope that the route requires."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this key lacks the scope {scope}")


class DailyCapReached(Exception):
    """The API key has reserved as many dials as it may on this day (UTC)."""

    def __init__(self, max_dials: int, seconds: int) -> None:
        super().__init__(f"this key may reserve {max_dials} dials a day (MAX_DIALS_PER_KEY_PER_DAY), from 00:00 UTC")
        self.seconds = seconds


class TooManyStreams(Exception):
    """The API key, or this process, has as many open streams of events as it may have."""


class TooManyReads(Exception):
    """The API key has read as many events of calls as its rate limit permits. `seconds`: how long to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"this key has read too many events of calls at once; retry in {seconds} s")
        self.seconds = seconds


class TooOld(Exception):
    """The stream of events cannot continue after `Last-Event-ID`."""


class UnknownCampaign(Exception):
    """The API key is limited to other campaigns."""

    def __init__(self, campaign_id: str) -> None:
        super().__init__(f"this key reaches no campaign with the id {campaign_id}")


class CampaignNotAllowed(Exception):
    """The request names no campaign to which the API key is limited."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"this key is limited to the campaigns {', '.join(sorted(key.campaigns or ()))}")


class NotForLimitedKeys(CampaignNotAllowed):
    """The request is about all campaigns together, and the API key is limited to some."""

    def __str__(self) -> str:
        return f"{super().__str__()}; this is for keys of the whole installation"


class Refused(Exception):
    """The command was refused; `reasons` has one line per field, those of the orchestrator if it decided."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Unacceptable(Refused):
    """The request is not acceptable now, such as a scheduled time that is too far ahead. Nothing was sent."""


class RetriesExhausted(Refused):
    """The call has been dialled `max_retries` times after the first attempt."""


class UnknownContact(Exception):
    """No call and no waiting contact has this contact id."""

    def __init__(self, contact_id: str) -> None:
        super().__init__(f"no call and no waiting contact has the contact_id {contact_id!r}; give the phone number")


class AmbiguousContact(Exception):
    """The contact id names several persons."""

    def __init__(self, contact_id: str) -> None:
        super().__init__(f"{contact_id!r} names contacts with several numbers; give campaign_id, or the phone number")


class KeyReused(Exception):
    """The request id belongs to a call that differs from this request in `fields`."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__("this key was used for another request")
        self.fields = fields


class NotInProgress(Exception):
    """The call is not in progress, or its conversation has ended."""


class TooManyImports(Exception):
    """The API key, or this process, has as many running imports as it may have."""


class ContactCapReached(Exception):
    """The API key has imported as many contacts as it may on this day (UTC). `line`: the first row without a result.

    `field`: the name by which the answer has the line.
    """

    field = "from_line"

    def __init__(self, max_contacts: int, line: int, added: int, seconds: int) -> None:
        super().__init__(
            f"this key may import {max_contacts} contacts a day (MAX_CONTACTS_PER_KEY_PER_DAY), from 00:00 UTC; "
            f"{added} contacts were added. Send the file again tomorrow with from_line={line}"
        )
        self.line = line
        self.seconds = seconds


class NumberCapReached(ContactCapReached):
    """As `ContactCapReached`, in an import of numbers that must not be called."""

    field = "line"

    def __init__(self, max_contacts: int, line: int, added: int, seconds: int) -> None:
        super().__init__(max_contacts, line, added, seconds)
        self.args = (
            f"this key may import {max_contacts} contacts and numbers a day (MAX_CONTACTS_PER_KEY_PER_DAY), from 00:00 "
            f"UTC; {added} numbers were listed, and those from line {line} on may still be called. Send the file again "
            "with another key, or tomorrow: rows that are listed already do not count",
        )


class ImportInterrupted(Unavailable):
    """An import ended before the end of its file. `line`: the first line whose row has no result."""

    def __init__(self, line: int, added: int, reason: str) -> None:
        super().__init__(
            f"{reason}; {added} contacts were added. Send the file again with from_line={line}, or the whole file: "
            "contacts that wait already are counted as duplicates"
        )
        self.line = line
