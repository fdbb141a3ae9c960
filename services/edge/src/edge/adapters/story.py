"""The stored messages of one call in the streams CALLS and REQUESTS."""

from uuid import UUID

from nats.aio.client import Client

from chassis.keyring import Keyring
from edge.adapters.nats import translate_errors
from records.messages import Message, with_keys
from records.one_call import messages_of_call


class NatsCallMessages:
    """Implements `edge.ports.CallMessages`. Its cost does not depend on the length of the log (`records.one_call`)."""

    def __init__(self, client: Client, keyring: Keyring | None) -> None:
        self._client = client
        self._keyring = keyring

    async def of(self, call_id: UUID) -> list[Message]:
        """Returns the messages, whose personal fields are opened. Raises Unavailable."""
        async with translate_errors(self._client, "the log could not be read"):
            return await with_keys(await messages_of_call(self._client, call_id), self._keyring)
