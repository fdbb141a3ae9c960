"""The first line of an export: its content, its scope, the versions it was written with, and its digest."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from centralita.replay.scope import Scope
from contracts import EVENTS, reasons_of

VERSION = 2
"""2: the sealed bytes of a body are ``sealed_base64``; before, they were part of its JSON."""
CONTRACTS = {name: event.version for name, event in EVENTS.items()}


class DamagedExport(ValueError):
    """The file is not a complete, unchanged export that this program can read. `line` counts from 1, the manifest."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class StreamRange(BaseModel):
    """The messages of one stream in an export: first and last sequence, and how many there are."""

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    count: int


class Manifest(BaseModel):
    """The description of an export.

    `digest`: SHA-256 of the lines after the manifest, line ends included. `contracts`: the schema version of each event
    type. `acknowledged`: for each stream the sequence up to which the orchestrator had acknowledged its inputs.
    `dead_letters`: ``<stream>/<sequence>`` of inputs that are dead letters. `recorded_after`: the sequence of REQUESTS
    after which the log shows what became of each erased request; null: that of an older build.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)

    format: Literal["centralita-replay"] = "centralita-replay"
    version: int = VERSION
    created_at: AwareDatetime
    scope: Scope
    streams: dict[str, StreamRange]
    count: int
    digest: str
    contracts: dict[str, int]
    acknowledged: dict[str, int] = Field(default={}, alias="handled")
    dead_letters: tuple[str, ...] = Field(default=(), alias="given_up")
    recorded_after: int | None = None


def read_manifest(line: bytes) -> Manifest:
    """Returns the manifest in a line. Raises DamagedExport if there is none, or if a newer program wrote it."""
    try:
        manifest = Manifest.model_validate_json(line)
    except ValidationError as error:
        raise DamagedExport(1, f"this is not the manifest of an export ({reasons_of(error)[0]})") from error
    if manifest.version > VERSION:
        reason = f"format version {manifest.version}; this program reads up to version {VERSION}: install a newer one"
        raise DamagedExport(1, reason)
    for name, version in manifest.contracts.items():
        if version > CONTRACTS.get(name, 0):
            known = f"version {CONTRACTS[name]}" if name in CONTRACTS else "no version"
            reason = f"it contains {name} version {version}; this program knows {known} of it: install a newer one"
            raise DamagedExport(1, reason)
    return manifest
