"""A Prometheus process that scrapes a running system, and the queries of the stored dashboards."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from centralita.embedded.servers import CannotStart

ROOT = Path(__file__).parents[4]
RULES = ROOT / "deploy/prometheus/rules"
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
MISSING = "Prometheus is not installed here (Debian: apt-get install prometheus); .ci/run installs it"

INSTALLED = shutil.which("prometheus") is not None

_VARIABLES = {"$__rate_interval": "1m", "$campaign": "appointment-reminders"}


@asynccontextmanager
async def prometheus(folder: Path, urls: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Runs a Prometheus that scrapes the services every second and evaluates the repository's rules.

    Yields a client of its API. Raises CannotStart and TimeoutError.
    """
    folder.mkdir()
    targets = [
        {"targets": [url.removeprefix("http://")], "labels": {"service": service}} for service, url in urls.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "*.yml")],
        "scrape_configs": [{"job_name": "centralita", "static_configs": targets}],
    }
    file, log = folder / "prometheus.json", folder / "prometheus.log"
    file.write_text(json.dumps(config))
    command = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus", *command, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
    try:
        async with httpx.AsyncClient(base_url=await _wait_for_address(process, log), timeout=60) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def _wait_for_address(process: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(60):
        while True:
            if match := re.search(r'"Listening on" address=(\S+)', log.read_text()):
                return f"http://{match[1]}"
            if process.returncode is not None:
                raise CannotStart(f"Prometheus ended with code {process.returncode}: {log.read_text()[-500:]}")
            await asyncio.sleep(0.05)


async def series(client: httpx.AsyncClient, expression: str) -> list[dict[str, Any]]:
    """Returns the result of an instant query. Raises httpx.HTTPError if the query is invalid."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    answer = await client.get("/api/v1/query", params={"query": expression})
    return list(answer.raise_for_status().json()["data"]["result"])


def stored_queries() -> dict[str, str]:
    """Returns every query of every stored panel: ``dashboard, panel, legend`` to PromQL."""
    queries = {}
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                queries[f"{path.stem}, {panel['title']}, {target['legendFormat']}"] = target["expr"]
    return queries
