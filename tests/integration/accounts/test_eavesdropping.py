"""No user hears, by any subscription, what the contracts do not let it hear; and none reaches the system account."""

import json

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswer
from tests.integration.accounts.arena import Arena
from tests.integration.accounts.attack import USERS, may_publish

from chassis.barrier import wait_until_processed
from chassis.subject_filters import matcher
from contracts.accounts import ADMIN, SYSTEM, account_of, api_subject
from contracts.consumers import CONSUMERS
from contracts.examples import EXAMPLES
from contracts.permissions import ACCOUNT_INFO, OPERATOR, OWN_PERMISSIONS
from contracts.queries import CampaignStatisticsQuery
from contracts.streams import CALLS
from contracts.work import WORK

WIDE = (
    (">", ""),
    ("*.voice-dials", "voice-dials"),
    ("deliver.>", ""),
    ("live.>", ""),
    ("_INBOX.>", ""),
    ("_R_.>", ""),
    ("$JS.>", ""),
    ("$SYS.>", ""),
    ("outcome.>", ""),
    *((one.deliver_subject, one.name) for one in CONSUMERS),
)
REQUESTS_TO_THE_SYSTEM = (
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.PING.JSZ",
    "$SYS.REQ.SERVER.PING.VARZ",
    "$SYS.REQ.ACCOUNT.CENTRALITA.CONNZ",
    "$SYS.REQ.ACCOUNT.CENTRALITA.JSZ",
    "$SYS.REQ.ACCOUNT.CENTRALITA.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.CENTRALITA.PURGE",
    "$SYS.REQ.CLAIMS.DELETE",
    "$SYS.REQ.SERVER.x.RELOAD",
    "$SYS.REQ.SERVER.x.KICK",
)


@pytest.mark.parametrize("user", USERS)
async def test_a_user_hears_what_the_contracts_let_it_hear_at_most(user: str, attacked: Arena) -> None:
    await attacked.reset()
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    spy = await attacked.connect(user)
    for subject, queue in WIDE:
        await spy.subscribe(subject, queue=queue, cb=hear)
    await wait_until_processed(spy)
    await _work(attacked)
    await wait_until_processed(spy)
    assert [message for message in heard if not _may_hear(user, message)] == []


async def _work(attacked: Arena) -> None:
    """Lets others store facts, ask and answer."""
    for event in EXAMPLES.values():
        await attacked.admin.publish(event.subject, b"{}")
    for user in USERS:
        client = await attacked.connect(user)
        for request in (OWN_PERMISSIONS, api_subject("STREAM.INFO", CALLS.name), CampaignStatisticsQuery.subject):
            if may_publish(user, request):
                await client.request(request, b"{}", timeout=60)
        await client.close()


def _may_hear(user: str, message: Msg) -> bool:
    """Whether it is a delivery of the user's own consumer, or of a stream that it follows, or permitted as it is."""
    subscribed = [subject.partition(" ")[0] for subject in USERS[user].subscribe]
    if message.reply.startswith("$JS.ACK."):
        handled = next((work.handles for service, work in WORK.items() if service == user), ())
        return any(f".{one.stream.name}.{one.name}." in message.reply for one in handled)
    if message.subject.startswith("live."):  # whole streams are imported, of which the permissions name parts
        return any(one.startswith(f"live.{message.subject.split('.')[1]}.") for one in subscribed)
    own = ("$JS.EVENT.", "_INBOX.", "_R_.")  # of its own account
    return matcher([*subscribed, *USERS[user].publish])(message.subject) or message.subject.startswith(own)


@pytest.mark.parametrize("user", USERS)
async def test_the_system_account_answers_about_the_user_and_to_the_operator(user: str, attacked: Arena) -> None:
    client = await attacked.connect(user)
    answered = [one for one in REQUESTS_TO_THE_SYSTEM if await _is_answered(attacked, client, user, one)]
    assert answered == []
    info = ACCOUNT_INFO.replace("*", account_of(ADMIN))
    assert await _is_answered(attacked, client, user, info) == (user == OPERATOR)
    assert not await _is_answered(attacked, client, user, ACCOUNT_INFO.replace("*", SYSTEM)) or user == OPERATOR


@pytest.mark.parametrize("user", USERS)
async def test_the_server_names_connections_of_the_users_own_account_only(user: str, attacked: Arena) -> None:
    """The server lets every account ask for these, also without an import; the permissions of users do not."""
    subject = "$SYS.REQ.SERVER.PING.CONNZ"
    assert not may_publish(user, subject)
    client = await attacked.connect(user)
    for account in (account_of(user), account_of(ADMIN), SYSTEM) if not attacked.has_permissions else ():
        body = json.dumps({"auth": True, "acc": account}).encode()
        answer = json.loads((await client.request(subject, body, timeout=60)).data)
        connections = (answer.get("data") or {}).get("connections") or ()
        assert {one["account"] for one in connections} == {account_of(user)}


async def _is_answered(attacked: Arena, client: Client, user: str, subject: str) -> bool:
    if attacked.has_permissions and not may_publish(user, subject):
        return False  # as tests/integration/permissions shows
    try:
        await client.request(subject, b"", timeout=5)
    except (NoRespondersError, NoAnswer):
        return False
    return True
