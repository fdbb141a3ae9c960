"""The fault schedule: which faults happen during a campaign, drawn from a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a fault does."""

    KILL = "kill -9 of one service"
    KILL_TWO = "kill -9 of two services at once"
    PAUSE = "SIGSTOP of a service for some seconds"
    NATS = "kill -9 of nats-server"
    MONGO = "kill -9 of the MongoDB server"
    FULL = "REQUESTS full for some seconds"
    TIMERS = "timer.due before its deadline"
    CALLBACKS = "status callbacks lost, late, out of order and twice"
    VENDOR = "a vendor fails for some seconds"


_WEIGHTS = {
    Kind.KILL: 4,
    Kind.KILL_TWO: 3,
    Kind.PAUSE: 3,
    Kind.NATS: 2,
    Kind.MONGO: 2,
    Kind.FULL: 2,
    Kind.TIMERS: 3,
    Kind.CALLBACKS: 2,
    Kind.VENDOR: 3,
}
_SERVICES = {Kind.KILL: 1, Kind.KILL_TWO: 2, Kind.PAUSE: 1}
"""How many services a fault of this kind concerns."""

VENDOR_FAULTS = (
    "twilio answers 401",
    "twilio answers 503",
    "twilio answers 429",
    "twilio's answers are lost",
    "twilio resets connections",
    "elevenlabs answers 503",
    "elevenlabs cuts its answers",
    "openai answers 503",
    "openai is slow",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It begins when `after_requests` calls have been requested, and lasts `seconds`.

    `targets`: the processes, or the name of the vendor's fault.
    """

    number: int
    kind: Kind
    after_requests: int
    seconds: float
    targets: tuple[str, ...] = ()

    def __str__(self) -> str:
        targets = f": {', '.join(self.targets)}" if self.targets else ""
        return f"fault {self.number} after {self.after_requests} requests: {self.kind}{targets} ({self.seconds:.1f} s)"


def draw_faults(seed: int, count: int, *, calls: int, services: Sequence[str]) -> list[Fault]:
    """Returns `count` faults, evenly distributed over the requests. The first ones are one of each kind."""
    draw = random.Random(f"{seed}:faults")
    kinds = list(Kind)
    draw.shuffle(kinds)
    kinds += draw.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=max(count - len(kinds), 0))
    return [
        Fault(
            number=number,
            kind=kind,
            after_requests=calls * number // (count + 1),
            seconds=draw.uniform(0.5, 5.0),
            targets=_targets(draw, kind, services),
        )
        for number, kind in enumerate(kinds[:count], start=1)
    ]


def _targets(draw: random.Random, kind: Kind, services: Sequence[str]) -> tuple[str, ...]:
    if kind is Kind.VENDOR:
        return (draw.choice(VENDOR_FAULTS),)
    return tuple(draw.sample(services, _SERVICES.get(kind, 0)))
