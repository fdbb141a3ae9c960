"""Checks of NATS: those of `chassis.bus_checks`, the payload limit, and dead letters that cannot be resent."""

from collections.abc import Mapping

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from centralita.operations.doctor.limits import check_payload
from chassis.bus_checks import (
    AREA,
    MAY_NOT_READ,
    check_anonymous_access,
    check_clock,
    check_consumers,
    check_streams,
)
from chassis.dead_letter_acts import message_of
from chassis.dead_letters import read_dead_letters
from chassis.findings import Finding, failed, ok, skipped, warning
from chassis.jetstream_info import read_info
from chassis.service_checks import check_breakers, check_services
from chassis.service_status import collect_statuses
from chassis.storage_checks import check_storage
from contracts.streams import DEAD_LETTERS

MAX_DEAD_LETTERS = 1_000
"""So many of the oldest dead letters are compared with their streams."""
_MAX_SHOWN = 10


async def check(client: Client, replicas: int = 1, max_bytes: Mapping[str, int] | None = None) -> list[Finding]:
    """Returns the findings about the server. Raises nats.errors.Error if it does not answer.

    `replicas`, `max_bytes`: as `chassis.bus_checks.check_streams`.
    """
    await client.flush(timeout=5)
    version = str(client.connected_server_version).strip("<>")
    findings = [ok(AREA, "connection", version), await check_anonymous_access(client), await check_clock(client)]
    findings.append(check_payload(client))
    info = await read_info(client)
    findings += check_streams(info, replicas, max_bytes or {})
    findings += check_storage(info)
    findings += check_consumers(info)
    processes = await collect_statuses(client)
    findings += [*check_services(processes), *check_breakers(processes)]
    return [*findings, await _dead_letters(client)]


async def _dead_letters(client: Client) -> Finding:
    """Warns if dead letters refer to messages that no longer exist: these cannot be resent."""
    name = "dead letters"
    try:
        found = [stored async for stored in read_dead_letters(client)]
        oldest = [stored for stored in found if stored.is_reference][:MAX_DEAD_LETTERS]
        lost = [str(stored.sequence) for stored in oldest if await message_of(client, stored) is None]
    except NotFoundError:  # the stream has its own finding
        return skipped(AREA, name, f"there is no stream {DEAD_LETTERS.name}")
    except NatsError as error:
        return failed(AREA, name, f"they could not be read ({type(error).__name__})", MAY_NOT_READ)
    if lost:
        shown = " ".join(lost[:_MAX_SHOWN])
        more = f" and {len(lost) - _MAX_SHOWN} more" if len(lost) > _MAX_SHOWN else ""
        found_text = f"the messages of {len(lost)} no longer exist and cannot be resent: {shown}{more}"
        advice = (
            f"`centralita dead-letters show` shows their reasons, `centralita dead-letters drop {shown}` removes them"
        )
        return warning(AREA, name, found_text, advice)
    if found:
        return warning(AREA, name, f"{len(found)}", "`centralita dead-letters list` shows them with their reasons")
    return ok(AREA, name, "none")
