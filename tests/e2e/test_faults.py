"""`centralita demo --faults` as a process: the vendors fail during the campaign."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(400)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}


def test_every_source_of_both_fallback_chains_is_used_and_every_call_ends() -> None:
    command = [sys.executable, "-m", "centralita", "demo", "--faults", "--calls", "10", "--timeout", "300"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=380, env=ENVIRONMENT)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-2000:]
    assert "agree, call by call" in ended.stdout
    for source in ("second_voice", "clip", "say", "retry", "second_model", "script_line", "last_resort"):
        assert source in ended.stdout


def test_real_vendors_are_not_made_to_fail() -> None:
    environment = {**ENVIRONMENT, "OPENAI_API_KEY": "sk-fictional", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    command = [sys.executable, "-m", "centralita", "demo", "--faults", "--calls", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert ended.returncode == 1
    assert "only simulated vendors" in ended.stdout
