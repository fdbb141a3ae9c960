"""The doctor asks each node of a cluster: one of them may have read another configuration, or may be down."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from centralita.embedded import cluster as embedded
from centralita.embedded.cluster import Cluster, nats_cluster
from centralita.embedded.credentials import Credentials
from centralita.operations.doctor import account_answers, accounts
from chassis import jetstream_info
from chassis.findings import Finding, Result
from chassis.provision import provision
from contracts.accounts import ADMIN
from contracts.nats_configuration import configuration
from contracts.permissions import OPERATOR, inbox_of

DIFFERENT = "n2"
MISSING = '      {service: {account: CENTRALITA, subject: "dial.placed.*"}}\n'


@pytest.fixture
def cluster(tmp_path: Path, access: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster in which one node has not all imports of voice."""
    contracts = configuration()
    assert contracts.count(MISSING) == 1
    written = iter(range(1, embedded.NODES + 1))
    monkeypatch.setattr(
        embedded,
        "configuration",
        lambda: contracts.replace(MISSING, "") if f"n{next(written)}" == DIFFERENT else contracts,
    )
    with nats_cluster(tmp_path, access=access) as cluster:
        yield cluster


async def check(url: str) -> dict[str, Finding]:
    client = await nats.connect(url.split(","), inbox_prefix=inbox_of(OPERATOR), connect_timeout=60)
    try:
        return {one.check: one for one in await accounts.check("NATS", client)}
    finally:
        await client.close()


async def test_the_node_that_differs_and_the_node_that_is_down_are_named(
    cluster: Cluster, access: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await nats.connect(access.url(cluster.url, ADMIN).split(","), connect_timeout=60)
    await provision(admin, replicas=3)
    await admin.close()
    url = access.url(cluster.url, OPERATOR)

    found = await check(url)
    assert found.keys() == {"account VOICE"}
    assert found["account VOICE"].found == "on n2: does not import dial.placed.* from CENTRALITA"
    assert found["account VOICE"].result is Result.FAILED

    cluster.nodes[DIFFERENT].kill()
    for module in (account_answers, jetstream_info):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 3)  # it never answers
    url = access.url(",".join(node.url for name, node in cluster.nodes.items() if name != DIFFERENT), OPERATOR)
    while (found := await check(url)).keys() != {"accounts of all nodes"}:  # the others may be too busy to answer
        await asyncio.sleep(0.1)
    assert found["accounts of all nodes"].result is Result.WARNING
    assert found["accounts of all nodes"].found == f"no answer from {DIFFERENT}"
