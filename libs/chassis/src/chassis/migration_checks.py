"""What must be true of the streams before they are provisioned: no command is unfinished, and none has to be run."""

from contextlib import suppress

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chassis.misplaced_streams import OWNED, find_misplaced, find_unsealed
from chassis.stream_api import find_stream, jetstream_of
from contracts.accounts import CENTRAL
from contracts.streams import CALLS, SEALED_STREAMS, sealed_copy

COPY_OF_CALLS = "CALLS_COPY"
"""The stream that `chassis.migrate` needs meanwhile."""
NO_ACCOUNTS = (
    "nats-server does not know the accounts of this build, or it has no leader. Give it the permissions.conf of this "
    "build, restart it, and run the command again (docs/production.md)"
)


class NotMigrated(Exception):
    """A stream is that of an older build, or its migration was interrupted."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}, which provisioning cannot move. Stop all services and run `python -m chassis.migrate` with the "
            "NATS_URL of the user admin (docs/production.md)"
        )


class NotSealed(NotMigrated):
    """`centralita seal` was interrupted."""

    def __init__(self, stream: str) -> None:
        Exception.__init__(
            self,
            f"`centralita seal` was interrupted: the stream {stream} is incomplete. Stop all services and run it again",
        )


class NotSealedByFormerBuild(NotMigrated):
    """`centralita seal` of a build with one account for all was interrupted."""

    def __init__(self, stream: str) -> None:
        Exception.__init__(
            self,
            f"`centralita seal` of the former build was interrupted: the stream {stream} is incomplete. Run it again "
            "with the former build and its permissions.conf, then upgrade",
        )


async def check_migrated(client: Client) -> None:
    """Raises NotMigrated if a stream is that of an older build, or NotSealed. For admin."""
    js = jetstream_of(client, CALLS.name)
    for name in (CALLS.name, COPY_OF_CALLS):
        if (found := await find_stream(js, name)) and (found.config.allow_msg_schedules or name == COPY_OF_CALLS):
            raise NotMigrated("the stream CALLS contains the deadlines of an older build")
    await check_sealed(client)
    for stream in OWNED:
        if await find_misplaced(client, stream):
            raise NotMigrated(f"the stream {stream.name} is in the account {CENTRAL}, as older builds had it")
    for stream in SEALED_STREAMS:
        with suppress(NotFoundError):
            await jetstream_of(client, stream.name).stream_info(sealed_copy(stream.name))
            raise NotSealed(stream.name)


async def check_sealed(client: Client) -> None:
    """Raises NotSealedByFormerBuild if an older build has not finished to seal a stream that has to be moved."""
    if unsealed := await find_unsealed(client):
        raise NotSealedByFormerBuild(unsealed)
