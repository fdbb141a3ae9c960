"""The two campaigns of the demo, as a user runs them."""

import subprocess
import sys

import pytest

from centralita.demo.campaign_plan import EXPECTED


@pytest.mark.timeout(400)
def test_the_two_campaigns_have_their_outcomes_and_explain_them() -> None:
    command = [sys.executable, "-m", "centralita", "demo", "--campaigns"]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=380, env=environment)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert [expected.shows for expected in EXPECTED.values() if expected.shows not in ended.stdout] == []
    assert ended.stdout.count("centralita why ") == 3
    assert "spring-offer.csv: 4 added, 1 duplicates, 1 refused" in ended.stdout
    assert "line 7, phone_number" in ended.stdout
    assert "dialled 3 times within 24 h, permitted: 3 (US-FL: Fla. Stat. 501.616(6))" in ended.stdout
