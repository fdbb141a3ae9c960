"""Waiting until the server has what a service needs: accounts, streams and durable consumers."""

import asyncio
from functools import partial

import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chassis.account_checks import LOAD_ACCOUNTS, LOAD_PERMISSIONS, find_missing_accounts
from chassis.leader_retry import NO_ANSWER, retry_until_leader
from chassis.misplaced_streams import is_incomplete
from chassis.stream_api import jetstream_of
from contracts.streams import Stream
from contracts.work import Work, work_of

_MAX_PAUSE_SECONDS = 5.0

logger = structlog.get_logger()


async def wait_until_provisioned(client: Client, service: str) -> None:
    """Waits until the accounts, streams and consumers of `service` exist, and warns with the remedy meanwhile.

    A service may be started before provisioning, and before nats-server has the accounts of this version.
    """
    pause = 0.2
    while found := await _find_missing(client, work_of(service)):
        reason, advice = found
        logger.warning("not_provisioned", reason=reason, again_in_seconds=pause, advice=advice)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE_SECONDS)


async def _find_missing(client: Client, work: Work) -> tuple[str, str] | None:
    """Returns what is missing and the remedy; None if the service can start."""
    if missing := await find_missing_accounts(client):
        return missing, LOAD_ACCOUNTS
    try:
        for stream in work.reads:
            await retry_until_leader(partial(_check_complete, client, stream))
        for consumer in work.handles:
            js, name = jetstream_of(client, consumer.stream.name), consumer.stream.name
            await retry_until_leader(partial(js.consumer_info, name, consumer.name))
    except NotFoundError as error:
        return error.description or "a stream does not exist", "run python -m chassis.provision as the user admin"
    except NO_ANSWER as error:
        return f"JetStream does not answer ({type(error).__name__})", LOAD_PERMISSIONS
    return None


async def _check_complete(client: Client, stream: Stream) -> None:
    """Raises NotFoundError if there is no stream, or if a migration has not finished it."""
    if is_incomplete(await jetstream_of(client, stream.name).stream_info(stream.name)):
        raise NotFoundError(description=f"the stream {stream.name} is incomplete: run python -m chassis.migrate")
