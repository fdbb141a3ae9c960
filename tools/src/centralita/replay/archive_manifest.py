"""The manifest of an archive: which files it has, what they contain, and their digests.

An archive is a directory with the messages that `centralita archive` moved from the streams to files. The manifest is
written last, so a file that it does not name is not part of the archive.
"""

import os
from pathlib import Path
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from centralita.embedded.run_files import create_private_file
from centralita.replay.manifest import CONTRACTS
from contracts import reasons_of

MANIFEST_FILE = "manifest.json"
VERSION = 2
"""As that of exports: the files have their lines."""


class DamagedArchive(ValueError):
    """A file of the archive is missing, changed, or written by a newer program."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class ArchivePart(BaseModel):
    """One file of the archive: messages of one stream, in the order of their sequences.

    `digest`: SHA-256 of the file. `calls`: how many calls were created in it. `from_at`, `until_at`: when the server
    stored the first and the last message. `ended_before`: its calls ended before this instant. `is_removed`: its
    messages are no longer in the stream.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    stream: str
    digest: str
    bytes: int
    messages: int
    calls: int
    first_sequence: int
    last_sequence: int
    from_at: AwareDatetime
    until_at: AwareDatetime
    ended_before: AwareDatetime
    is_removed: bool = False


class ArchiveManifest(BaseModel):
    """The description of an archive. `archive_id` is also in the metadata of the stream CALLS."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["centralita-archive"] = "centralita-archive"
    version: int = VERSION
    archive_id: UUID
    contracts: dict[str, int] = CONTRACTS
    parts: tuple[ArchivePart, ...] = ()

    @property
    def archived_sequence(self) -> int:
        """The highest sequence of an archived message of CALLS; 0 if there is none."""
        return max((part.last_sequence for part in self.parts if part.stream == "CALLS"), default=0)

    def with_part(self, part: ArchivePart) -> "ArchiveManifest":
        """Returns the manifest with the part added, or in place of the one with the same file."""
        others = [one for one in self.parts if one.file != part.file]
        return self.model_copy(update={"parts": (*others, part), "contracts": CONTRACTS, "version": VERSION})


def read_archive_manifest(folder: Path) -> ArchiveManifest:
    """Returns the manifest of an archive. Raises DamagedArchive, also if the directory has none; OSError."""
    file = folder / MANIFEST_FILE
    try:
        manifest = ArchiveManifest.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise DamagedArchive(file, "it is missing: this directory is not an archive") from error
    except ValidationError as error:
        raise DamagedArchive(file, f"this is not the manifest of an archive ({reasons_of(error)[0]})") from error
    newer = [name for name, version in manifest.contracts.items() if version > CONTRACTS.get(name, 0)]
    if manifest.version > VERSION or newer:
        found = f"format version {manifest.version}" if manifest.version > VERSION else f"newer events ({newer[0]})"
        raise DamagedArchive(file, f"it has {found}, which this program does not know: install a newer one")
    return manifest


def write_archive_manifest(folder: Path, manifest: ArchiveManifest) -> None:
    """Replaces the manifest. After a crash, the directory has either the former one or this one."""
    temporary = folder / f".{MANIFEST_FILE}.new"
    temporary.unlink(missing_ok=True)
    with create_private_file(temporary) as file:
        file.write(manifest.model_dump_json(indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    move_durably(temporary, folder / MANIFEST_FILE)


def move_durably(source: Path, target: Path) -> None:
    """Renames a file in its directory and writes the directory to disk."""
    os.replace(source, target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
