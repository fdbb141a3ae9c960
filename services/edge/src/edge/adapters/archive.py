"""The archive of the log, which the metadata of the stream CALLS name."""

from nats.aio.client import Client

from chassis.stream_api import jetstream_of
from contracts.streams import ARCHIVE_ID, CALLS
from edge.adapters.nats import translate_errors


class NatsArchiveName:
    """Implements `edge.ports.ArchiveName`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = jetstream_of(client, CALLS.name)

    async def read(self) -> str | None:
        """Returns the id of the archive; None if nothing was archived. Raises Unavailable."""
        async with translate_errors(self._client, "the name of the archive could not be read"):
            info = await self._js.stream_info(CALLS.name)
        return (info.config.metadata or {}).get(ARCHIVE_ID)
