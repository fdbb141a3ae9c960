"""A request that cannot be processed is found over REST, resent after a mistake, and dropped, in a whole system."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import nats

from centralita.embedded.system import running
from chassis.stream_api import jetstream_of
from contracts.accounts import ADMIN
from contracts.streams import REQUESTS
from contracts.work import DEAD_LETTER_USER

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
NUMBER = "+12125550123"
PATH = "/api/v1/dead-letters"


async def test_a_wrong_request_is_listed_resent_and_dropped_over_rest(tmp_path: Path) -> None:
    async with (
        running(tmp_path, environment=ENVIRONMENT, settings={"API_KEYS": "k"}, has_dead_letters=True) as system,
        httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http,
    ):
        client = await nats.connect(system.access.url(system.nats.url if system.nats else "", ADMIN))
        try:
            await client.jetstream().publish(
                "call.requested", f'{{"phone_number": "{NUMBER}", "{NUMBER}": 1}}'.encode()
            )
            [first] = await _listed(http, 1)
            assert any(reason.startswith("campaign_id: ") for reason in first["reasons"])
            assert NUMBER not in str(first)
            resent = await http.post(f"{PATH}/{first['sequence']}/retry")
            assert resent.status_code == 200, resent.text
            [second] = await _listed(http, 1, after=first["sequence"])
            assert (second["message_sequence"], second["reasons"]) == (
                resent.json()["stored_sequence"],
                first["reasons"],
            )
            dropped = await http.post(f"{PATH}/{second['sequence']}/drop")
            assert dropped.status_code == 200, dropped.text
            assert (await http.get(f"{PATH}/groups")).json()["groups"] == []
            assert (await jetstream_of(client, REQUESTS.name).stream_info(REQUESTS.name)).state.messages == 0
        finally:
            await client.close()
        assert NUMBER not in system.services[DEAD_LETTER_USER].output()


async def _listed(http: httpx.AsyncClient, count: int, after: int = 0) -> list[dict[str, Any]]:
    """Waits until there are so many dead letters after a sequence."""
    async with asyncio.timeout(120):
        while True:
            answer = await http.get(PATH, params={"cursor": after})
            assert answer.status_code == 200, answer.text
            if len(found := answer.json()["dead_letters"]) == count:
                return list(found)
            await asyncio.sleep(0.1)
