"""``python -m chassis.migrate`` moves what older installations have elsewhere. It may be run at any time.

1. Deadlines move from CALLS to the stream SCHEDULES (`chassis.deadline_migration`).
2. Streams that have an owner move from the central account to that of the owner (`chassis.stream_move`).
3. Everything is provisioned.

Stop all services first; the command refuses while another client is connected. If it is interrupted, run it again.
"""

import asyncio
import sys
from collections.abc import Mapping

import nats
import structlog
from nats.aio.client import Client
from nats.errors import NoRespondersError

from chassis import logging_setup
from chassis.addresses import connection
from chassis.connection_errors import on_bus_error
from chassis.deadline_migration import DeadlineMigration
from chassis.migration_checks import NO_ACCOUNTS, NotMigrated, check_sealed
from chassis.provision import CONNECT_SECONDS, NotEnoughNodes, Settings, provision
from chassis.settings import read as read_settings
from chassis.stream_copy import CopyInterrupted
from chassis.stream_move import BothInUse, Report, move_streams
from chassis.stream_replacement import other_clients
from contracts.accounts import ADMIN

logger = structlog.get_logger()


class MigrationRefused(Exception):
    """Nothing was changed. The message names the reason and the remedy."""


async def migrate(
    client: Client,
    *,
    replicas: int = 1,
    max_bytes: Mapping[str, int] | None = None,
    report: Report | None = None,
) -> None:
    """Migrates the streams if necessary, and provisions.

    Raises MigrationRefused, CopyInterrupted, and the errors of `provision`.
    """
    report = report or (lambda step: logger.info("migration", step=step))
    if others := await other_clients(client):
        raise MigrationRefused(f"other clients are connected: {', '.join(others)}. Stop all services first")
    await check_sealed(client)
    await DeadlineMigration(client, report).run()
    try:
        await move_streams(client, report)
    except BothInUse as error:
        raise MigrationRefused(str(error)) from error
    await provision(client, replicas=replicas, max_bytes=max_bytes)


async def _main() -> None:
    settings = read_settings(Settings)
    logging_setup.configure("migrate", settings.log_level)
    client = await nats.connect(
        **connection(settings.nats_url),
        name=ADMIN,
        error_cb=on_bus_error,
        allow_reconnect=False,
        connect_timeout=CONNECT_SECONDS,
    )
    try:
        await migrate(client, replicas=settings.nats_replicas, max_bytes=settings.max_bytes)
    except (MigrationRefused, NotMigrated) as error:
        sys.stderr.write(f"Nothing was changed: {error}.\n")
        raise SystemExit(1) from None
    except CopyInterrupted as error:
        sys.stderr.write(f"Not finished: {error}. Run the command again before you start the services.\n")
        raise SystemExit(1) from None
    except NoRespondersError:
        sys.stderr.write(f"Nothing was changed: {NO_ACCOUNTS}.\n")
        raise SystemExit(1) from None
    except NotEnoughNodes as error:
        sys.stderr.write(f"NATS_REPLICAS: {error} (see .env.example)\n")
        raise SystemExit(1) from None
    finally:
        await client.close()
    logger.info("migrated")


if __name__ == "__main__":
    asyncio.run(_main())
