"""Why the edge does not do as it is asked."""

from uuid import UUID

from edge.application.keys import Scope


class UnknownCall(Exception):
    """The log has no such call."""

    def __init__(self, call_id: UUID) -> None:
        super().__init__(f"no call has the id {call_id}")
        self.call_id = call_id


class MissingScope(Exception):
    """The API key is not good for this."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this key lacks the scope {scope}")


class Refused(Exception):
    """The orchestrator has refused; `reasons` are its own, a line per field."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class KeyReused(Exception):
    """The request id stands for a call that differs from what is asked for now."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__("this key was used for another request")
        self.fields = fields


class NotInProgress(Exception):
    """Nobody is on the line, or the conversation is over."""
