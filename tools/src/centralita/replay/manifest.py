"""The first line of an export: what it holds, of when, in which version, and the digest that it must have."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from centralita.replay.scope import Scope
from contracts import EVENTS, reasons_of

VERSION = 1
CONTRACTS = {fact: event.version for fact, event in EVENTS.items()}


class Damaged(ValueError):
    """An export that cannot be trusted; `line` (from 1, the manifest) and `reason` say where and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Span(BaseModel):
    """What an export holds of one stream: first and last sequence, and how many messages."""

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    count: int


class Manifest(BaseModel):
    """`digest`: SHA-256 of the lines after this one, with their line ends. `contracts`: version of each event's schema.

    `handled`: up to which sequence of each stream the orchestrator had acknowledged its inputs; `given_up`:
    ``<stream>/<sequence>`` of inputs that are dead letters.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["centralita-replay"] = "centralita-replay"
    version: int = VERSION
    created_at: AwareDatetime
    scope: Scope
    streams: dict[str, Span]
    count: int
    digest: str
    contracts: dict[str, int]
    handled: dict[str, int] = {}
    given_up: tuple[str, ...] = ()


def read_manifest(line: bytes) -> Manifest:
    """Raises Damaged at a line that is no manifest, or one of a version that is newer than this program."""
    try:
        manifest = Manifest.model_validate_json(line)
    except ValidationError as error:
        raise Damaged(1, f"no manifest of an export ({reasons_of(error)[0]})") from error
    if manifest.version > VERSION:
        raise Damaged(1, f"format version {manifest.version}; this program reads up to {VERSION}: use a newer one")
    for fact, version in manifest.contracts.items():
        if version > CONTRACTS.get(fact, 0):
            known = f"version {CONTRACTS[fact]}" if fact in CONTRACTS else "none"
            raise Damaged(1, f"it holds {fact} of version {version}; this program knows {known}: use a newer one")
    return manifest
