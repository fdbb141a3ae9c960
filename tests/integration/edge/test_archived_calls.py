"""What the REST API answers about a call that was archived."""

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.edge.conftest import LIMITED

from contracts import CallRequested, call_id_of
from contracts.streams import ARCHIVE_ID, CALLS
from edge.application.archived_calls import READ_SECONDS, ArchivedCalls
from edge.ports import Unavailable

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

ARCHIVE = "0193d4a0-0000-7000-8000-00000000a5c1"


async def archive(client: Client) -> None:
    """Names an archive in the stream, as `centralita archive` does before it moves the first message."""
    js = client.jetstream()
    config = (await js.stream_info(CALLS.name)).config
    await js.update_stream(config.evolve(metadata={**(config.metadata or {}), ARCHIVE_ID: ARCHIVE}))


@pytest.mark.parametrize("suffix", ["", "/story", "/events", "/decisions"])
async def test_an_unknown_call_may_be_in_the_archive_which_the_answer_names(
    api: httpx.AsyncClient, bus_client: Client, suffix: str
) -> None:
    await archive(bus_client)
    call_id = uuid4()
    answer = await api.get(f"/api/v1/calls/{call_id}{suffix}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:centralita:problem:unknown-call")
    assert f"archive {ARCHIVE}" in answer.json()["detail"]
    assert f"`centralita replay show {call_id} --archive DIRECTORY`" in answer.json()["detail"]


async def test_a_request_id_that_is_unknown_leads_to_the_call_in_the_archive(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    await archive(bus_client)
    detail = (await api.get("/api/v1/calls/by-request/long-ago")).json()["detail"]
    assert f"replay show {call_id_of('long-ago')} --archive" in detail


async def test_without_an_archive_no_answer_names_one(api: httpx.AsyncClient) -> None:
    call_id = uuid4()
    assert (await api.get(f"/api/v1/calls/{call_id}/story")).json()["detail"] == f"no call has the id {call_id}"


async def test_a_call_of_another_campaign_is_answered_as_an_unknown_one(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    await archive(bus_client)
    request = CallRequested.model_validate({**body, "request_id": "r-2", "campaign_id": "winter"})
    other, unknown = await orchestrator.decide(request), uuid4()
    details = {
        (await as_(LIMITED).get(f"/api/v1/calls/{one}")).json()["detail"].replace(str(one), "ID")
        for one in (other, unknown)
    }
    assert len(details) == 1
    assert ARCHIVE in details.pop()


async def test_many_unknown_ids_cost_one_read_of_the_stream(api: httpx.AsyncClient, bus_client: Client) -> None:
    asked: list[str] = []

    async def note(message: Msg) -> None:
        asked.append(message.subject)

    await bus_client.subscribe(f"$JS.API.STREAM.INFO.{CALLS.name}", cb=note)
    for _ in range(5):
        assert (await api.get(f"/api/v1/calls/{uuid4()}")).status_code == 404
    await bus_client.flush()
    assert len(asked) == 1


class Archive:
    """An archive that may be unavailable."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.is_available = True
        self.reads = 0

    async def read(self) -> str | None:
        self.reads += 1
        if not self.is_available:
            raise Unavailable("no answer")
        return self.name


async def test_the_name_is_read_again_after_a_minute_and_its_absence_changes_no_answer() -> None:
    archive, now = Archive(), [0.0]
    calls = ArchivedCalls(archive, lambda: now[0])
    assert await calls.hint(uuid4()) == ""
    archive.name = ARCHIVE
    assert (await calls.hint(uuid4()), archive.reads) == ("", 1)
    now[0] += READ_SECONDS
    assert ARCHIVE in await calls.hint(uuid4())
    archive.is_available = False
    now[0] += READ_SECONDS
    assert await calls.hint(uuid4()) == ""
