"""The console of a demo that stays: from the printed link to the reason of a call, and the end at SIGINT."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_a_demo_that_stays_shows_its_calls_until_it_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "centralita", "demo", "--calls", "3", "--stay"]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200", "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            printed = "".join(lines)
            link = re.search(r"http://127\.0\.0\.1:\d+/login\?token=\S+", printed)
            assert link, printed
            with httpx.Client(follow_redirects=True, trust_env=False, timeout=60) as browser:
                calls = browser.get(link[0])
                assert calls.status_code == 200
                ids = set(re.findall(r'href="(/calls/[0-9a-f-]{36})"', calls.text))
                assert len(ids) == 3
                shown = browser.get(str(calls.url.join(ids.pop())))
                assert shown.status_code == 200
                assert "Attempt 1" in shown.text
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert list(tmp_path.glob("centralita-demo-*")) == []
