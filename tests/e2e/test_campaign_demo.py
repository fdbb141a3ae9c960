"""The two campaigns of the demo, as a user runs them, with the erasure of one person at the end."""

import re
import subprocess
import sys

import pytest

from centralita.demo.campaign_plan import EXPECTED
from centralita.demo.text_search import DOCUMENTS, EXPORTS, LOGS, MESSAGES, RAW_FILES

KINDS = (MESSAGES, DOCUMENTS, LOGS, EXPORTS, RAW_FILES)


@pytest.mark.timeout(600)
def test_the_two_campaigns_have_their_outcomes_and_nothing_is_left_of_an_erased_person() -> None:
    command = [sys.executable, "-m", "centralita", "demo", "--campaigns", "--forget", "leslie"]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=580, env=environment)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert [expected.shows for expected in EXPECTED.values() if expected.shows not in ended.stdout] == []
    assert ended.stdout.count("centralita why ") == 3
    assert "spring-offer.csv: 4 added, 1 duplicates, 1 refused" in ended.stdout
    assert "line 7, phone_number" in ended.stdout
    assert "centralita forget --contact leslie: the key was destroyed" in ended.stdout
    for equal in ("statistics: unchanged", "replay verify --strict: equal", "replay rebuild --check: equal"):
        assert equal in ended.stdout
    found = {kind: re.search(rf"{kind} +│ +([1-9]\d*) │ +0 │", ended.stdout) for kind in KINDS}
    assert None not in found.values(), found
    assert "dialled 3 times within 24 h, permitted: 3 (US-FL: Fla. Stat. 501.616(6))" in ended.stdout
