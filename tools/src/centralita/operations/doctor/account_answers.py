"""What each node of the server says of the accounts."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.request_reply import replies_of
from contracts.imports import accounts
from contracts.permissions import ACCOUNT_INFO

ANSWER_SECONDS = 5
OTHER_NODES_SECONDS = 1
"""How long answers of further nodes are waited for: those of which it is not known that they exist."""
WITHOUT_ACCOUNT = "$G"
"""The server's own account, of users without one."""
NAMES = ""
"""In place of an account: the request for the names of all accounts."""

Answer = Mapping[str, Any]
Answers = Mapping[str, Mapping[str, Answer]]
"""By the name of the node, and of the account or `NAMES`."""


def requested_accounts() -> tuple[str, ...]:
    """Returns what is requested of each node."""
    return NAMES, WITHOUT_ACCOUNT, *accounts()


async def ask_nodes(client: Client, nodes: set[str]) -> Answers:
    """Returns what each node answered. Waits at most `ANSWER_SECONDS` for `nodes`, and for all answers of a node."""
    found: dict[str, dict[str, Answer]] = {}
    has_answered, requested, unanswered = asyncio.Event(), requested_accounts(), set[str]()

    def receive(account: str, message: Msg) -> None:
        if message.data:
            answer = json.loads(message.data)
            found.setdefault(answer["server"]["name"], {})[account] = answer
        else:  # no responders
            unanswered.add(account)
        has_answered.set()

    def is_complete() -> bool:
        has_all = bool(found) and nodes <= found.keys() and all(len(one) == len(requested) for one in found.values())
        return has_all or len(unanswered) == len(requested)

    replies = await replies_of(client)
    expected = {account: replies.expect(partial(receive, account)) for account in requested}
    try:
        for account, reply in expected.items():
            body = json.dumps({"account": account}).encode() if account != NAMES else b""
            await client.publish(ACCOUNT_INFO, body, reply=reply)
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.sleep(OTHER_NODES_SECONDS)
                while not is_complete():
                    has_answered.clear()
                    await has_answered.wait()
    finally:
        for reply in expected.values():
            replies.forget(reply)
    return found
