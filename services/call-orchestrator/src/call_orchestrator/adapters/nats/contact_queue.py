"""The waiting contacts in the work queue CONTACTS: one durable pull consumer per campaign and group.

The server shares the contacts of a group out among the replicas that pull, and removes each one that is acknowledged.
So the stream contains exactly the contacts that wait, and no replica keeps a position.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from nats.js.errors import APIError, NotFoundError

from call_orchestrator.ports import TakenContact, WaitingPerson
from chassis.direct_get import get_page
from chassis.keyring import Keyring
from chassis.leader_retry import retry_until_leader
from chassis.stored_event import load_keys, stored_event_of, unreadable
from chassis.stream_api import jetstream_of
from chassis.stream_reader import decoded, follow, last_sequence
from chassis.unreadable import UnreadableEvents
from contracts import ContactAdded, ContactGroupAdded, InvalidMessage
from contracts.filters import CONTACT_GROUP_FILTERS
from contracts.streams import CONTACTS

ACK_WAIT_SECONDS = 30.0
UNREADABLE_PAUSE_SECONDS = 30.0
PERSONS_PAGE = 256
"""How many contacts are read at once when their campaign is over."""
_MAX_ACK_PENDING = 1_000


class NatsContactQueue:
    """Implements `call_orchestrator.ports.ContactQueue`."""

    def __init__(self, client: Client, keyring: Keyring | None = None) -> None:
        """Without a `keyring`, the personal data of contacts is hidden."""
        self._client = client
        self._keyring = keyring
        self._js = jetstream_of(client, CONTACTS.name)
        self._subscriptions: dict[str, JetStreamContext.PullSubscription] = {}
        self._unreadable = UnreadableEvents("waiting-contacts")

    @asynccontextmanager
    async def groups(self) -> AsyncIterator[AsyncIterator[list[ContactGroupAdded]]]:
        """Yields all groups: first those that exist, then each new one."""
        following = follow(self._client, CONTACTS, CONTACT_GROUP_FILTERS, start_sequence=1)
        async with aclosing(decoded(following, CONTACTS, skip=self._unreadable.report)) as batches:
            yield ([one.event for one in batch if isinstance(one.event, ContactGroupAdded)] async for batch in batches)

    async def take(self, campaign_id: str, zone_group: str, count: int, wait_seconds: float) -> list[TakenContact]:
        """Returns up to `count` contacts of a group. If there is none, waits this long for one."""
        name = _consumer_name(campaign_id, zone_group)
        if name not in self._subscriptions:
            await self._create_consumer(campaign_id, zone_group)
            self._subscriptions[name] = await self._js.pull_subscribe_bind(consumer=name, stream=CONTACTS.name)
        try:
            messages = await self._subscriptions[name].fetch(count, timeout=wait_seconds)
        except TimeoutError:
            return []
        except APIError:  # the consumer was deleted, or its stream has no leader: begin again
            await self._unsubscribe(name)
            return []
        await load_keys(messages, self._keyring)
        return [taken for message in messages if (taken := await self._taken(message))]

    async def last_sequence(self) -> int:
        """Returns the position of the newest contact or group."""
        return await retry_until_leader(lambda: last_sequence(self._client, CONTACTS.name))

    async def count(self, campaign_id: str, until_sequence: int) -> int:
        """Returns how many contacts of the campaign wait up to this position, delivered ones included.

        The stream is counted, again if contacts are added meanwhile. After a restart of its server, a consumer may name
        0 although contacts wait, or count contacts that have left the stream.
        """
        while True:
            after = await self._count_from(campaign_id, until_sequence + 1)
            count = await self._count_from(campaign_id, 1)
            if after == await self._count_from(campaign_id, until_sequence + 1):
                return count - after

    async def _count_from(self, campaign_id: str, start_sequence: int) -> int:
        get = partial(get_page, self._client, CONTACTS.name, ContactAdded.subjects(campaign_id), limit=1)
        page = await retry_until_leader(partial(get, start_sequence=start_sequence))
        return len(page.messages) + page.pending

    async def persons(self, campaign_id: str, after_sequence: int, until_sequence: int) -> list[WaitingPerson]:
        """Returns the persons of the oldest contacts of a campaign between these positions; none: there are no more.

        The subject of a contact ends in the digest of its number. So a contact that this build cannot decode counts.
        """
        subjects, start = ContactAdded.subjects(campaign_id), after_sequence + 1
        page = await retry_until_leader(
            lambda: get_page(self._client, CONTACTS.name, subjects, start_sequence=start, limit=PERSONS_PAGE)
        )
        return [
            WaitingPerson(message.subject.rpartition(".")[2], message.seq, message.time)
            for message in page.messages
            if message.seq <= until_sequence
        ]

    async def remove(self, campaign_id: str, until_sequence: int) -> None:
        """Removes the contacts of a campaign up to this position. Harmless if they are removed."""
        await self._purge(ContactAdded.subjects(campaign_id), until_sequence)

    async def remove_groups(self, campaign_id: str, zone_groups: Iterable[str], until_sequence: int) -> None:
        """Removes the groups of a campaign up to this position, and their consumers. Harmless if they are removed."""
        for zone_group in zone_groups:
            name = _consumer_name(campaign_id, zone_group)
            await self._unsubscribe(name)
            with suppress(NotFoundError):
                await retry_until_leader(partial(self._js.delete_consumer, CONTACTS.name, name))
        await self._purge(ContactGroupAdded.subjects(campaign_id), until_sequence)

    async def _purge(self, subjects: str, until_sequence: int) -> None:
        purge = partial(self._js.purge_stream, CONTACTS.name, subject=subjects)
        await retry_until_leader(partial(purge, seq=until_sequence + 1))

    async def _create_consumer(self, campaign_id: str, zone_group: str) -> None:
        """Creates the consumer of a group if it is missing."""
        config = ConsumerConfig(
            durable_name=_consumer_name(campaign_id, zone_group),
            filter_subject=ContactAdded.subjects(campaign_id, zone_group),
            ack_wait=ACK_WAIT_SECONDS,
            max_ack_pending=_MAX_ACK_PENDING,
        )
        await retry_until_leader(partial(self._js.add_consumer, CONTACTS.name, config))

    async def _unsubscribe(self, name: str) -> None:
        if subscription := self._subscriptions.pop(name, None):
            await subscription.unsubscribe()

    async def _taken(self, message: Msg) -> TakenContact | None:
        """Returns the contact. One that this build cannot decode is delivered again later, perhaps to a newer one."""
        try:
            stored = stored_event_of(message, self._keyring)
        except InvalidMessage as error:
            self._unreadable.report(unreadable(message, error))
            await message.nak(delay=UNREADABLE_PAUSE_SECONDS)
            return None
        return TakenContact(stored, message.ack, message.nak)  # type: ignore[arg-type]  # of ContactAdded, by its filter


def _consumer_name(campaign_id: str, zone_group: str) -> str:
    """Returns the name of the consumer of a group. The group has a fixed length, so no two have the same."""
    return f"{campaign_id}-{zone_group}"
