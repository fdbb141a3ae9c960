"""The walls hold on a cluster of three, whose nodes pass messages of all accounts to each other."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.integration.accounts.arena import Arena, arena
from tests.integration.accounts.attack import USERS, of_direct_requests, of_headers, of_replies
from tests.integration.accounts.conftest import with_configuration
from tests.integration.accounts.deputies import OWNERS, of_deputies

from centralita.embedded.cluster import Cluster, nats_cluster
from centralita.embedded.credentials import Credentials
from contracts.nats_configuration import configuration

PART = 7
"""Every seventh attack: each kind is among them. All of them are tried on one server (`test_attacks`)."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Credentials]]:
    access = Credentials.generate()
    with (
        with_configuration(configuration(has_permissions=False)),
        nats_cluster(tmp_path_factory.mktemp("cluster"), access=access) as cluster,
    ):
        yield cluster, access


@pytest.fixture
async def attacked(nodes: tuple[Cluster, Credentials]) -> AsyncIterator[Arena]:
    """Each user is connected to a node of its own choice, and admin to the first one."""
    cluster, access = nodes
    urls = [node.url for node in cluster.nodes.values()]
    users = ["admin", *USERS]
    async with arena(lambda user: access.url(urls[users.index(user) % len(urls)], user), replicas=len(urls)) as opened:
        yield opened


@pytest.mark.parametrize("user", USERS)
async def test_no_message_and_no_reply_subject_does_what_the_user_may_not_do(user: str, attacked: Arena) -> None:
    plans = [*of_replies(USERS[user]), *of_direct_requests(USERS[user]), *of_headers(USERS[user])]
    assert await attacked.withstands(user, plans[::PART]) == ""


@pytest.mark.parametrize("user", OWNERS)
async def test_jetstream_of_the_users_own_account_does_what_the_user_may_do_at_most(user: str, attacked: Arena) -> None:
    assert await attacked.withstands(user, [*of_deputies(user)][::PART]) == ""
