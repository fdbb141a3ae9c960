"""The hops of a turn: the time until a reply arrives, without the policy and without the vendors' fixed latencies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from bench.console.watching import percentile
from bench.live import conditions
from bench.live.ledger import Response

Latencies = Mapping[str, float | None]
"""The latencies of a turn as a system reports them, named as in `contracts.TurnLatencies`."""


@dataclass(frozen=True)
class Hops:
    """What a turn took beyond its policy and its vendors, in seconds. None: it is no part of a turn of text.

    - endpoint: the decision that the turn is over, after the silence of the policy. It is no part of `total`.
    - log: until the turn is stored. model, synthesis: the way to the vendor and back. playout: until the first frame.
    - log_and_model: both together, which turns of audio and of text have in common.
    - lines: the rest, which is the way of the last frame to us and of the first frame back, and late event loops. Of
      text: the way of the words to us and of the first sentence back.
    """

    endpoint: float | None
    log: float
    model: float
    log_and_model: float
    synthesis: float | None
    playout: float | None
    lines: float
    total: float | None


def hops(response: Response, latencies: Latencies) -> Hops | None:
    """Returns the hops of a turn; None if it had no reply, or its latencies are not complete."""
    sentence, log = latencies.get("first_sentence_seconds"), latencies.get("log_seconds") or 0.0
    if response.seconds is None or sentence is None:
        return None
    model = sentence - conditions.MODEL_SECONDS
    if response.is_text:
        return Hops(None, log, model, log + model, None, None, response.seconds - log - sentence, None)
    endpoint, synthesis = latencies.get("endpoint_seconds"), latencies.get("synthesis_seconds")
    playout = latencies.get("playout_seconds")
    if endpoint is None or synthesis is None or playout is None:
        return None
    return Hops(
        endpoint=endpoint - conditions.TURN_OVER_SECONDS,
        log=log,
        model=model,
        log_and_model=log + model,
        synthesis=synthesis - conditions.SPEECH_SECONDS,
        playout=playout,
        lines=response.seconds - endpoint - log - sentence - synthesis - playout,
        total=response.seconds - endpoint - conditions.MODEL_SECONDS - conditions.SPEECH_SECONDS,
    )


STAGES = tuple(field.name for field in fields(Hops))


def milliseconds(found: Sequence[Hops]) -> dict[str, tuple[float, float]]:
    """Returns median and 95th percentile in milliseconds of each stage that the turns have."""
    by_stage = {name: [getattr(one, name) for one in found] for name in STAGES}
    values = {name: [one * 1000 for one in own if one is not None] for name, own in by_stage.items()}
    return {name: (percentile(own, 0.5), percentile(own, 0.95)) for name, own in values.items() if own}
