"""How the simulated callees of a demo behave, and in which mode they are called."""

from dataclasses import dataclass

from contracts import ConversationMode


@dataclass(frozen=True, slots=True)
class Callees:
    """`speed`: simulated seconds per real second. `behaviours`: weights, as the simulators read them; None: theirs."""

    mode: ConversationMode
    speed: float
    behaviours: str | None = None
