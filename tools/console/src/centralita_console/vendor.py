"""Fetches the vendored files of the browser: ``python -m centralita_console.vendor``, which needs ``npm``.

The lock names each file with its package, version, licence and digest. A change of a version is a change of `PACKAGES`;
the files and the lock are committed, so neither a build nor an installation reaches a registry.
"""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("vendored")
LOCK = FOLDER / "vendor.lock"


@dataclass(frozen=True, slots=True)
class Package:
    """One npm package, and its files that the console serves, by their names here."""

    name: str
    version: str
    licence: str
    files: Mapping[str, str]


PACKAGES = (
    Package(
        "htmx.org",
        "4.0.1",
        "0BSD",
        {"htmx.js": "dist/htmx.min.js", "hx-sse.js": "dist/ext/hx-sse.min.js", "htmx.LICENSE": "LICENSE"},
    ),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        {"uPlot.js": "dist/uPlot.iife.min.js", "uPlot.css": "dist/uPlot.min.css", "uPlot.LICENSE": "LICENSE"},
    ),
)


def digest_of(content: bytes) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def locked() -> list[dict[str, str]]:
    """Returns the entries of the lock: file, package, version, licence and sha256."""
    entries: list[dict[str, str]] = json.loads(LOCK.read_text())
    return entries


def fetch() -> None:
    """Replaces the vendored files, and the lock. Raises CalledProcessError if npm does not have a package."""
    entries = []
    for package in PACKAGES:
        for name, content in _files(package).items():
            (FOLDER / name).write_bytes(content)
            entries.append(
                {
                    "file": name,
                    "package": package.name,
                    "version": package.version,
                    "licence": package.licence,
                    "sha256": digest_of(content),
                }
            )
    LOCK.write_text(json.dumps(entries, indent=1) + "\n")


def _files(package: Package) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"{package.name}@{package.version}"]
        subprocess.run(command, check=True, capture_output=True)
        [archive] = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            return {name: _content(packed, f"package/{path}") for name, path in package.files.items()}


def _content(packed: tarfile.TarFile, path: str) -> bytes:
    member = packed.extractfile(path)
    if member is None:
        raise FileNotFoundError(path)
    return member.read()


if __name__ == "__main__":
    fetch()
