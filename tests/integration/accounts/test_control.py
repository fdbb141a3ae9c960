"""The same attacks do harm where all users share one account: so it is the accounts that make the others fail."""

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.integration.accounts.arena import Arena, arena
from tests.integration.accounts.attack import USERS, Attack, Plan, of_direct_requests, of_headers, of_replies, targets
from tests.integration.accounts.conftest import with_configuration
from tests.integration.accounts.deputies import OWNERS, of_deputies

from centralita.embedded import servers
from centralita.embedded.credentials import Credentials
from contracts import Service
from contracts.accounts import api_subject
from contracts.nats_configuration import configuration
from contracts.permissions import OPERATOR
from contracts.streams import CALLS

SAMPLE = 100
"""How many attacks of each kind are tried at most."""
KINDS = tuple(dict.fromkeys(one.kind for one in targets(OPERATOR)))


@pytest.fixture(scope="module")
def open_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.nats_server(tmp_path_factory.mktemp("open")) as url:
        yield url


@pytest.fixture
async def unprotected(open_address: str) -> AsyncIterator[Arena]:
    async with arena(lambda _: open_address, has_accounts=False) as opened:
        yield opened


def at(kind: str, user: str, plans: Iterable[Plan]) -> list[Plan]:
    """Returns the plans that aim at targets of a kind: by a reply subject, a subject or a deliver subject."""
    subjects = {one.subject for one in targets(user) if one.kind == kind}
    found = [plan for plan in plans if subjects & {*_aims(plan[-1])}]
    return found[:: len(found) // SAMPLE + 1]


def _aims(attack: Attack) -> Iterator[str]:
    yield attack.reply
    yield attack.subject
    yield attack.body.partition(b'"deliver_subject": "')[2].partition(b'"')[0].decode()


@pytest.mark.parametrize("kind", KINDS)
async def test_reply_subjects_do_harm_in_one_account(kind: str, unprotected: Arena) -> None:
    await unprotected.reset()
    assert await unprotected.found_harm(OPERATOR, at(kind, OPERATOR, of_replies(USERS[OPERATOR])))


@pytest.mark.parametrize("kind", KINDS)
async def test_messages_of_a_user_do_harm_in_one_account(kind: str, unprotected: Arena) -> None:
    await unprotected.reset()
    assert await unprotected.found_harm(OPERATOR, at(kind, OPERATOR, of_direct_requests(USERS[OPERATOR])))


@pytest.mark.parametrize("kind", KINDS)
async def test_own_consumers_do_harm_in_one_account(kind: str, unprotected: Arena) -> None:
    await unprotected.reset()
    assert await unprotected.found_harm(Service.VOICE, at(kind, Service.VOICE, of_deputies(Service.VOICE)))


async def test_headers_do_harm_in_one_account(unprotected: Arena) -> None:
    await unprotected.reset()
    assert await unprotected.found_harm(Service.VOICE, []) == []
    found = await unprotected.found_harm(Service.VOICE, [*of_headers(USERS[Service.VOICE])])
    assert any("is gone" in one for one in found), "a roll-up"


async def test_the_attack_that_does_harm_is_named(unprotected: Arena) -> None:
    deletion = Attack(OPERATOR, api_subject("STREAM.DELETE", CALLS.name), body=b"")
    reads = [(Attack(OPERATOR, api_subject("STREAM.INFO", CALLS.name), body=b""),)] * 20
    found = await unprotected.withstands(OPERATOR, [*reads, (deletion,), *reads])
    assert found.startswith(f"({deletion},): [")


async def test_an_account_acknowledges_messages_of_others_if_acknowledgements_do_not_name_it(tmp_path: Path) -> None:
    access = Credentials.generate()
    unnamed = configuration(has_permissions=False).replace("js_ack_fc_v2: true", "js_ack_fc_v2: false")
    with with_configuration(unnamed), servers.nats_server(tmp_path, access=access) as url:
        async with arena(partial(access.url, url)) as opened:
            for user in OWNERS:
                await opened.reset()
                named = [one for one in of_deputies(user) if "CONSUMER.DURABLE.CREATE" in one[-1].subject]
                found = await opened.found_harm(user, named)
                assert found
                assert all(one.endswith(("was acknowledged", "is gone")) for one in found)
