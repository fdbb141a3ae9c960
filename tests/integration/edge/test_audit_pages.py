"""Pages of the audit log: by key, act and time, the newest entries first, and at a bounded cost."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.audit import AuditEntry, Stage
from contracts.streams import AUDIT
from edge.adapters import audit as adapter

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH = "/api/v1/audit"
BEGAN_AT = datetime(2026, 11, 1, tzinfo=UTC)
CALL = uuid4()


@pytest.fixture
async def entries(bus_client: Client) -> list[AuditEntry]:
    """Twenty entries: those of each third act are about one call, of each other key a campaign."""
    made = [
        AuditEntry(
            act_id=str(uuid4()),
            act="call.cancel" if number % 3 == 0 else "campaign.pause",
            target=str(CALL) if number % 3 == 0 else "spring",
            key_name="desk" if number % 2 else "night",
            recorded_at=BEGAN_AT + timedelta(minutes=number),
            stage=Stage.ACCEPTED,
        )
        for number in range(1, 21)
    ]
    for entry in made:
        await bus_client.jetstream().publish(entry.subject, entry.model_dump_json().encode())
    return made


async def pages(client: httpx.AsyncClient, **query: object) -> list[list[int]]:
    """Returns the sequences on each page, to the last one."""
    found: list[list[int]] = []
    path: str | None = str(httpx.URL(PATH, params={name: str(value) for name, value in query.items()}))
    while path:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        found.append([entry["sequence"] for entry in answer.json()["entries"]])
        path = answer.json()["next"]
    return found


SELECTIONS: list[tuple[dict[str, object], list[int]]] = [
    ({}, list(range(1, 21))),
    ({"key_name": "desk"}, list(range(1, 21, 2))),
    ({"key_name": "nobody"}, []),
    ({"act": "call.cancel"}, [3, 6, 9, 12, 15, 18]),
    ({"act": "call"}, [3, 6, 9, 12, 15, 18]),
    ({"act": "call.cancel", "key_name": "night"}, [6, 12, 18]),
    ({"call_id": CALL}, [3, 6, 9, 12, 15, 18]),
    ({"call_id": CALL, "key_name": "desk"}, [3, 9, 15]),
    ({"call_id": uuid4()}, []),
    ({"since": (BEGAN_AT + timedelta(minutes=15)).isoformat(), "newest": "true"}, [15, 16, 17, 18, 19, 20]),
]


@pytest.mark.parametrize("is_newest_first", [False, True])
@pytest.mark.parametrize("limit", [3, 100])
@pytest.mark.parametrize(("query", "expected"), SELECTIONS)
async def test_pages_have_each_entry_once_in_both_orders(
    as_: "As",
    entries: list[AuditEntry],
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, object],
    expected: list[int],
    limit: int,
    is_newest_first: bool,
) -> None:
    monkeypatch.setattr(adapter, "BLOCK", 3)
    monkeypatch.setattr(adapter, "MAX_READ", 7)
    order = {"newest": "true"} if is_newest_first or "newest" in query else {}

    found = await pages(as_("auditor"), **{**query, **order, "limit": limit})

    assert [sequence for page in found for sequence in page] == (expected[::-1] if order else expected)
    assert all(len(page) <= limit for page in found)


async def test_the_newest_before_an_instant_are_those_that_were_stored_before(
    as_: "As", entries: list[AuditEntry], bus_client: Client
) -> None:
    message = await bus_client.jetstream().get_msg(AUDIT.name, 10)
    assert message.time
    later = {"until": message.time.isoformat(), "newest": "true"}
    assert (await pages(as_("auditor"), **later, limit=4))[0] == [9, 8, 7, 6]
    oldest = {"until": (BEGAN_AT + timedelta(minutes=4)).isoformat()}
    assert await pages(as_("auditor"), **oldest) == [[1, 2, 3]]
    assert await pages(as_("auditor"), until="2020-01-01T00:00:00Z", newest="true") == [[]]


async def test_an_empty_log_has_an_empty_page(as_: "As") -> None:
    assert await pages(as_("auditor")) == [[]]
    assert await pages(as_("auditor"), newest="true", act="call") == [[]]


async def test_a_filter_without_a_match_reads_a_bounded_part(
    as_: "As", entries: list[AuditEntry], bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request may neither read the whole log, nor hold its answer in memory."""
    monkeypatch.setattr(adapter, "BLOCK", 2)
    monkeypatch.setattr(adapter, "MAX_READ", 4)
    asked: list[bytes] = []

    async def note(message: Msg) -> None:
        asked.append(message.data)

    await bus_client.subscribe(f"$JS.API.DIRECT.GET.{AUDIT.name}", cb=note)
    await bus_client.flush()
    for order in ({}, {"newest": "true"}):
        asked.clear()
        answer = (await as_("auditor").get(PATH, params={"key_name": "nobody", **order})).json()
        await bus_client.flush()
        assert (answer["entries"], len(asked) <= 3) == ([], True)
        assert "key_name=nobody" in answer["next"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("act=call.%3E", "act"),
        ("act=" + "x" * 60, "act"),
        ("key_name=" + "x" * 101, "key_name"),
        ("until=tomorrow", "until"),
        ("newest=perhaps", "newest"),
        ("newest=true&after=3", "after"),
        ("before=3", "before"),
        ("before=-1", "before"),
    ],
)
async def test_a_wrong_parameter_is_named(as_: "As", query: str, named: str) -> None:
    answer = await as_("auditor").get(f"{PATH}?{query}")
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [named])
