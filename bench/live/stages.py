"""The hops of a turn: the time until a reply arrives, without the policy and without the vendors' fixed latencies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from bench.console.watching import percentile
from bench.live import conditions
from bench.live.ledger import Response

Latencies = Mapping[str, float | None]
"""The latencies of a turn as a system reports them, named as in `contracts.TurnLatencies`."""
_REPORTED = ("endpoint_seconds", "log_seconds", "first_sentence_seconds", "synthesis_seconds", "playout_seconds")


@dataclass(frozen=True)
class Hops:
    """What a turn took beyond its policy and its vendors, in seconds.

    - endpoint: the decision that the turn is over, after the silence of the policy. It is no part of `total`.
    - log: until the turn is stored. model, synthesis: the way to the vendor and back. playout: until the first frame.
    - lines: the rest, which is the way of the last frame to us and of the first frame back, and late event loops.
    """

    endpoint: float
    log: float
    model: float
    synthesis: float
    playout: float
    lines: float
    total: float


def hops(response: Response, latencies: Latencies) -> Hops | None:
    """Returns the hops of a turn; None if it had no reply, or its latencies are not complete."""
    endpoint = latencies.get("endpoint_seconds")
    sentence, synthesis = latencies.get("first_sentence_seconds"), latencies.get("synthesis_seconds")
    playout = latencies.get("playout_seconds")
    if response.seconds is None or endpoint is None or sentence is None or synthesis is None or playout is None:
        return None
    reported = sum(latencies.get(name) or 0.0 for name in _REPORTED)
    return Hops(
        endpoint=endpoint - conditions.TURN_OVER_SECONDS,
        log=latencies.get("log_seconds") or 0.0,
        model=sentence - conditions.MODEL_SECONDS,
        synthesis=synthesis - conditions.SPEECH_SECONDS,
        playout=playout,
        lines=response.seconds - reported,
        total=response.seconds - endpoint - conditions.MODEL_SECONDS - conditions.SPEECH_SECONDS,
    )


STAGES = tuple(field.name for field in fields(Hops))


def milliseconds(found: Sequence[Hops]) -> dict[str, tuple[float, float]]:
    """Returns median and 95th percentile of each stage in milliseconds; nothing without turns."""
    if not found:
        return {}
    values = {name: [getattr(one, name) * 1000 for one in found] for name in STAGES}
    return {name: (percentile(own, 0.5), percentile(own, 0.95)) for name, own in values.items()}
