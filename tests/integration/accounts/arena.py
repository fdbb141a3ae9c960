"""A server whose streams have messages and whose users listen, on which attacks are tried."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig
from tests.integration.accounts.attack import USERS, Attack, Plan, literal, may_publish, payload_subject, payloads
from tests.integration.accounts.deputies import PULLED
from tests.integration.accounts.record import ACCOUNTS, Record, Seed, ask, harm, stream_names, take_record

from chassis.barrier import wait_until_processed
from chassis.provision import provision
from chassis.stream_api import jetstream_of
from contracts.accounts import ADMIN, CENTRAL, api_subject
from contracts.consumers import CONSUMERS
from contracts.permissions import inbox_of
from contracts.streams import CONTACTS, STREAMS
from contracts.work import ANSWERED

BATCH = 400
"""How many requests are sent at once: the server drops those beyond its queue of 10,000."""
_DELIVERED = {one.deliver_subject: one for one in CONSUMERS}


@dataclass
class Arena:
    """The server under attack. `address`: the URL of a user. In the control, all users are in one account."""

    address: Callable[[str], str]
    stack: AsyncExitStack
    has_accounts: bool = True
    has_permissions: bool = False
    replicas: int = 1
    seeds: list[Seed] = field(default_factory=list)
    received: list[tuple[str, str]] = field(default_factory=list)
    """What listeners have received that no server has stored: the user, and the subject."""
    admin: Client = field(default_factory=Client)
    attackers: dict[str, Client] = field(default_factory=dict)

    async def open(self) -> None:
        """Connects the admin and one listener for each user."""
        self.admin = await self.connect(ADMIN)
        for user in USERS.values():
            listener = await self.connect(user.name)
            for subject in user.subscribe:
                name, _, queue = subject.partition(" ")
                name = name if self.has_accounts or name != "_INBOX.>" else f"{inbox_of(user.name)}.>"
                await listener.subscribe(name, queue=queue, cb=partial(self._receive, listener, user.name, name))
            await wait_until_processed(listener)

    async def connect(self, user: str) -> Client:
        """Returns a connection of a user, which ignores refusals."""
        client = Client()
        await client.connect(
            self.address(user), inbox_prefix=inbox_of(user), error_cb=_ignore, allow_reconnect=False, connect_timeout=60
        )
        self.stack.push_async_callback(client.close)
        return client

    async def reset(self) -> None:
        """Makes all streams anew, each with the bodies that attacks need, and lets each consumer deliver a message."""
        for account in ACCOUNTS if self.has_accounts else (CENTRAL,):
            for name in await stream_names(self.admin, account):
                await ask(self.admin, f"$JS.{account}.API.STREAM.DELETE.{name}")
        await provision(self.admin, replicas=self.replicas)
        self.seeds.clear()
        for consumer in CONSUMERS:
            await self._store(consumer.stream.name, literal(consumer.filters[0], "delivered"), b"{}")
        for stream in STREAMS:
            for body in payloads():
                await self._store(stream.name, payload_subject(stream, body), body)
        await self._pull()
        for consumer in CONSUMERS:
            while not await self._pending(consumer.stream.name, consumer.name):
                pass

    async def run(self, plans: Iterable[Plan]) -> None:
        """Publishes what the plans say, and returns when the server has handled it."""
        self.received.clear()
        for index, plan in enumerate(plans):
            for attack in plan:
                await self._publish(attack)
            if index % BATCH == BATCH - 1:
                await self._settle()
        await self._settle()

    async def found_harm(self, user: str, plans: Sequence[Plan]) -> list[str]:
        """Returns what the plans of the user have changed that it may not change."""
        before = await self._record()
        await self.run(plans)
        others = [one for one in self.received if one[0] != user]
        forged = [f"{who} received {subject}" for who, subject in others if not _may_send(user, who, subject)]
        return [*harm(before, await self._record(), user), *forged]

    async def withstands(self, user: str, plans: Sequence[Plan]) -> str:
        """Returns nothing, or the plan that does harm, and the harm."""
        await self.reset()
        found = await self.found_harm(user, plans)
        if not found:
            return ""
        while len(plans) > 1:
            await self.reset()
            half = plans[: len(plans) // 2]
            plans = half if await self.found_harm(user, half) else plans[len(plans) // 2 :]
        return f"{plans[0]}: {found[:5]}"

    async def attacker(self, user: str) -> Client:
        """Returns the connection by which a user attacks."""
        if user not in self.attackers or not self.attackers[user].is_connected:
            self.attackers[user] = await self.connect(user)
        return self.attackers[user]

    async def _publish(self, attack: Attack) -> None:
        client = await self.attacker(attack.user)
        headers = dict(attack.headers) or None
        if not attack.is_awaited or (self.has_permissions and not may_publish(attack.user, attack.subject)):
            await client.publish(attack.subject, attack.body, reply=attack.reply, headers=headers)
            return
        with suppress(NatsError):  # what has no answer here is an attack that failed
            await client.request(attack.subject, attack.body, timeout=20, headers=headers)

    async def _settle(self) -> None:
        """Waits until the server has handled all requests, and what it has published for them.

        Each kind of request has a queue, and its answers pass through it, too.
        """
        for client in self.attackers.values():
            if client.is_connected:
                await wait_until_processed(client)
        for _ in range(3):
            for stream in STREAMS:
                for subject in (api_subject("STREAM.INFO", stream.name), api_subject("DIRECT.GET", stream.name)):
                    with suppress(NatsError):  # the control deletes streams
                        await self.admin.request(subject, b'{"seq": 1}' if "DIRECT" in subject else b"", timeout=60)

    async def _record(self) -> Record:
        return await take_record(self.admin, self.seeds, has_accounts=self.has_accounts)

    async def _store(self, stream: str, subject: str, body: bytes) -> None:
        stored = await jetstream_of(self.admin, stream, timeout=60).publish(subject, body)
        self.seeds.append((stream, stored.seq, subject))

    async def _pull(self) -> None:
        js = jetstream_of(self.admin, CONTACTS.name, timeout=60)
        subject = payload_subject(CONTACTS, payloads()[0])
        config = ConsumerConfig(durable_name=PULLED, filter_subject=subject, ack_wait=600)
        await js.add_consumer(CONTACTS.name, config)
        pulled = await js.pull_subscribe_bind(durable=PULLED, stream=CONTACTS.name)
        await pulled.fetch(1, timeout=60)
        await pulled.unsubscribe()

    async def _pending(self, stream: str, consumer: str) -> int:
        info = await jetstream_of(self.admin, stream, timeout=60).consumer_info(stream, consumer)
        return info.num_ack_pending or 0

    async def _receive(self, listener: Client, user: str, subscribed: str, message: Msg) -> None:
        if (consumer := _DELIVERED.get(subscribed)) and f".{consumer.stream.name}.{consumer.name}." in message.reply:
            return
        if message.subject.startswith("live.") and "Nats-Sequence" in (message.headers or {}):
            return
        self.received.append((user, message.subject))
        if message.subject in ANSWERED and message.reply:
            await listener.publish(message.reply, message.data)


@asynccontextmanager
async def arena(
    address: Callable[[str], str], *, has_accounts: bool = True, has_permissions: bool = False, replicas: int = 1
) -> AsyncIterator[Arena]:
    """Opens an arena during the block."""
    async with AsyncExitStack() as stack:
        opened = Arena(address, stack, has_accounts, has_permissions, replicas)
        await opened.open()
        yield opened


async def _ignore(_: Exception) -> None:
    """Ignores refusals: attacks are full of them."""


def _may_send(user: str, receiver: str, subject: str) -> bool:
    """Whether the user may publish what a listener has received. The import of an outcome leaves its asker out."""
    family, _, rest = subject.partition(".")
    return may_publish(user, f"outcome.{receiver}.{rest}" if family == "outcome" else subject)
