"""Files with personal data or secrets are for their owner only, with any umask."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from centralita.embedded.credentials import Credentials
from centralita.embedded.run_files import create_private_file, env_lines, write_private_file
from centralita.replay.export_file import ExportWriter
from centralita.replay.scope import Scope

PROGRAM = """
import os, sys
from pathlib import Path
from centralita.__main__ import app

@app.command("write")
def write():
    Path("folder/deep").mkdir(parents=True)
    Path("folder/deep/file").write_text("a number")

os.umask(0)
app(["write"])
"""


@pytest.fixture(autouse=True)
def permissive_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_settings_and_credentials_are_private(tmp_path: Path) -> None:
    settings, access = tmp_path / "settings.env", tmp_path / "access.json"
    settings.write_text("an older one, for everyone")
    write_private_file(settings, env_lines({"API_KEYS": "a"}))
    Credentials.generate().store(access, "nats://127.0.0.1:4222")
    assert (mode(settings), mode(access)) == (0o600, 0o600)


def test_a_private_file_is_never_opened_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "file")
    assert not (tmp_path / "elsewhere").exists()


def test_an_export_is_private_and_replaces_one_that_was_not(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl.gz"
    file.write_bytes(b"an older one, for everyone")
    with ExportWriter(file) as writer:
        writer.close(Scope(), {}, ())
    assert mode(file) == 0o600


def test_all_that_a_command_writes_is_private(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, check=True, timeout=120)
    found = {path.relative_to(tmp_path).as_posix(): mode(path) for path in tmp_path.rglob("*")}
    assert found == {"folder": 0o700, "folder/deep": 0o700, "folder/deep/file": 0o600}
