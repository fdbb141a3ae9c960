"""A small run of the benchmark of whole calls: every figure of its table is measured."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ("call-orchestrator", "voice", "edge", "conversation", "campaign-stats")
PER_CALL = (
    "calls per second",
    "CPU of our services, ms",
    "CPU of nats-server, ms",
    "messages in CALLS",
    "stored publishes",
    "leader reads",
    "direct reads",
    "acknowledgements",
    "bytes in CALLS",
    "share of headers, %",
    "ratio of CPU, services and nats-server to bare nats-py",
)


def test_a_run_of_five_calls_measures_every_figure(tmp_path: Path) -> None:
    arguments = ["--calls", "120", "--rounds", "1", "--unanswered", "5", "--conversations", "2"]
    files = ["--folder", str(tmp_path), "--json", str(tmp_path / "figures.json")]
    command = [sys.executable, "-m", "bench.calls", *arguments, *files]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    figures = json.loads((tmp_path / "figures.json").read_text())["present 120"][0]
    for kind in ("unanswered", "conversation"):
        missing = [name for name in PER_CALL if f"{kind}: {name}" not in figures]
        assert missing == []
        assert figures[f"{kind}: messages in CALLS"] >= 5
        assert figures[f"{kind}: acknowledgements"] >= 3
    assert [name for name in SERVICES if f"memory: {name}, MB" not in figures] == []
    assert figures["memory: nats-server, MB"] > 1
    assert "present" in ended.stdout
    assert "120 calls" in ended.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]
