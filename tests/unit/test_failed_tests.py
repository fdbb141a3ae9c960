"""A test that fails does not fail the tests after it."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import gc, socket, pytest

class Holder:
    def __init__(self):
        self.itself, self.connection = self, socket.socket()

@pytest.mark.parametrize("is_cycle", [True, False])
def test_fails_with_an_open_connection(is_cycle):
    connection = Holder() if is_cycle else socket.socket()
    assert connection is None

def test_passes():
    gc.collect()
"""
ROOT = Path(__file__).parents[2]


def test_an_open_connection_of_a_failed_test_does_not_fail_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(TESTS)
    configured = [
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *configured, str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "2 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
