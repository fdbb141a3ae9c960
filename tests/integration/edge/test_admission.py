"""What admission has granted and what waits, over REST."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.edge.conftest import LIMITED

from contracts.queries import AdmissionQuery, AdmissionState

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH = "/api/v1/admission"
STATE = AdmissionState(
    campaign_id=None,
    at=datetime(2026, 11, 29, 12, tzinfo=UTC),
    is_open=True,
    live=3,
    max_live=20,
    waiting=2,
    waiting_closed=1,
    oldest_due_at=None,
    dials_in_second=1,
    dials_in_minute=40,
    max_dials_per_second=1.5,
    max_calls_per_minute=None,
)


@pytest.fixture
async def asked(bus_client: Client) -> list[AdmissionQuery]:
    """The queries that call-orchestrator was asked, each answered with `STATE`."""
    queries: list[AdmissionQuery] = []

    async def answer(message: Msg) -> None:
        queries.append(query := AdmissionQuery.model_validate_json(message.data))
        await message.respond(STATE.model_copy(update={"campaign_id": query.campaign_id}).model_dump_json().encode())

    await bus_client.subscribe(AdmissionQuery.subject, cb=answer)
    return queries


async def test_the_state_is_that_of_call_orchestrator(api: httpx.AsyncClient, asked: list[AdmissionQuery]) -> None:
    answer = await api.get(PATH)

    assert answer.status_code == 200
    assert answer.json() == STATE.model_dump(mode="json")
    assert (await api.get(f"{PATH}?campaign_id=spring")).json()["campaign_id"] == "spring"
    assert [query.campaign_id for query in asked] == [None, "spring"]


async def test_a_limited_key_sees_its_own_campaigns_only(as_: "As", asked: list[AdmissionQuery]) -> None:
    limited = as_(LIMITED)
    assert (await limited.get(PATH)).status_code == 403
    assert (await limited.get(f"{PATH}?campaign_id=secret")).status_code == 404
    assert (await limited.get(f"{PATH}?campaign_id=spring&campaign_id=secret")).status_code == 404
    assert (await limited.get(f"{PATH}?campaign_id=spring")).status_code == 200
    assert [query.campaign_id for query in asked] == ["spring"]


async def test_the_scope_read_is_needed(as_: "As", anyone: httpx.AsyncClient, asked: list[AdmissionQuery]) -> None:
    assert (await anyone.get(PATH)).status_code == 401
    assert (await as_("caller").get(PATH)).status_code == 403
    assert (await as_("reader").get(f"{PATH}?campaign_id=a b")).status_code == 422
    assert asked == []


async def test_without_call_orchestrator_the_answer_is_503(api: httpx.AsyncClient) -> None:
    assert (await api.get(PATH)).status_code == 503


@pytest.mark.parametrize("headers", [None, {"Nats-Service-Error-Code": "503", "Nats-Service-Error": "not read yet"}])
async def test_an_error_of_call_orchestrator_is_503(
    api: httpx.AsyncClient, bus_client: Client, headers: dict[str, str] | None
) -> None:
    async def answer(message: Msg) -> None:
        await bus_client.publish(message.reply, b"", headers=headers)

    await bus_client.subscribe(AdmissionQuery.subject, cb=answer)
    answered = await api.get(PATH)

    assert answered.status_code == 503
    assert ("not read yet" in answered.text) == (headers is not None)
