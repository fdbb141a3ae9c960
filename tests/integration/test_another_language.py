"""A request that is published from another language is the same event with the same call id."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from contracts import CallRequested, call_id_of, decode
from contracts.__main__ import BESIDE_THE_PACKAGE
from contracts.examples import EXAMPLES
from contracts.streams import REQUESTS

PUBLISHER = Path(__file__).parents[1] / "contracts" / "publish.mjs"
README = BESIDE_THE_PACKAGE / "README.md"
NATS_FOR_NODE = "nats@2.29.3"


@pytest.fixture(scope="module")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm package ``nats``; without that package the test is skipped."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("Node or npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), NATS_FOR_NODE]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=folder)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not fetch the package 'nats' in time")
    if installed.returncode:
        pytest.skip(f"npm cannot fetch the package 'nats': {installed.stderr.strip()[-200:]}")
    return folder


def readme_example(language: str, nats_url: str) -> str:
    """Returns the README's example in that language, with the URL of the test server."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if "nats://127.0.0.1:4222" in block]
    return str(block).replace("nats://127.0.0.1:4222", nats_url)


async def run(program: Path, *arguments: str, nats_url: str) -> str:
    """Runs a program in Node or Python, by its suffix; returns its standard output."""
    interpreter = sys.executable if program.suffix == ".py" else str(shutil.which("node"))
    process = await asyncio.create_subprocess_exec(
        interpreter,
        str(program),
        *arguments,
        env={**os.environ, "NATS_URL": nats_url},
        cwd=program.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def newest_request(client: Client) -> CallRequested:
    """Returns the newest request in the stream."""
    message = await client.jetstream().get_last_msg(REQUESTS.name, REQUESTS.subjects[0])
    event = decode(message.subject or "", message.data or b"")
    assert isinstance(event, CallRequested)
    return event


async def publish(node_project: Path, nats_url: str, body: str) -> dict[str, Any]:
    program = Path(shutil.copy(PUBLISHER, node_project))
    answer: dict[str, Any] = json.loads(await run(program, body, nats_url=nats_url))
    return answer


@pytest.mark.parametrize("request_id", ["appointment-1027", "cita nº 7 — mañana", "予約/12"])
async def test_a_request_published_from_node_is_the_same_event_with_the_same_call_id(
    node_project: Path, nats_url: str, bus_client: Client, request_id: str
) -> None:
    sent = EXAMPLES[CallRequested.event_name].model_copy(update={"request_id": request_id})
    answer = await publish(node_project, nats_url, sent.model_dump_json())
    assert await newest_request(bus_client) == sent
    assert answer == {
        "stream": REQUESTS.name,
        "sequence": 1,
        "duplicate": False,
        "call_id": str(call_id_of(request_id)),
    }


async def test_a_request_without_an_id_has_no_call_id_yet(
    node_project: Path, nats_url: str, bus_client: Client
) -> None:
    sent = EXAMPLES[CallRequested.event_name].model_copy(update={"request_id": None})
    answer = await publish(node_project, nats_url, sent.model_dump_json(exclude_none=True))
    assert answer["call_id"] is None
    assert (await newest_request(bus_client)).request_id is None


async def test_the_javascript_example_in_the_readme_publishes_a_valid_request(
    node_project: Path, nats_url: str, bus_client: Client
) -> None:
    program = node_project / "readme.mjs"
    program.write_text(readme_example("js", nats_url), encoding="utf-8")
    await run(program, nats_url=nats_url)
    assert (await newest_request(bus_client)).request_id == "appointment-1028"


async def test_the_python_example_in_the_readme_publishes_a_valid_request(
    tmp_path: Path, nats_url: str, bus_client: Client
) -> None:
    program = tmp_path / "readme.py"
    program.write_text(readme_example("python", nats_url), encoding="utf-8")
    await run(program, nats_url=nats_url)
    assert (await newest_request(bus_client)).request_id == "appointment-1027"
