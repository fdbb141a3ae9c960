"""What the contracts promise of a stream, compared with what the server holds to, and what to do where it differs.

What can be changed in a stream that exists is nats-server's decision (2.15, and a test asks it): nearly everything, but
what was once denied or allowed for good stays so, and no stream moves from memory to disk.
"""

from enum import Enum
from typing import Any

from nats.js.api import RetentionPolicy, StreamConfig

from centralita.operations.doctor.checks import Finding, failed, warning
from chassis.provision import stream_config
from contracts.streams import Stream

PROVISION = (
    "run python -m chassis.provision with the NATS_URL of the user admin: it makes what is missing and changes what "
    "is different"
)
ANEW = (
    "nats-server changes that in no stream that exists. Let the open calls end, stop the services, keep what it holds "
    "(CALLS and REQUESTS: centralita replay export), delete it as the user admin, then run python -m chassis.provision"
)
SCHEDULES = f"nats-server 2.12 or newer; then {PROVISION}"

FEWER = (
    "nothing takes replicas away by itself. If so many are wanted, set NATS_REPLICAS; if not, `nats stream edit "
    "--replicas` as the user admin, and those that are left are all that there is of the record"
)

PROMISES = (
    "subjects",
    "storage",
    "num_replicas",
    "retention",
    "max_age",
    "max_bytes",
    "max_msgs",
    "max_msgs_per_subject",
    "max_msg_size",
    "discard",
    "discard_new_per_subject",
    "deny_delete",
    "deny_purge",
    "allow_rollup_hdrs",
    "allow_direct",
    "allow_msg_schedules",
    "no_ack",
    "sealed",
)
_ONCE_AND_FOR_ALL = ("deny_delete", "deny_purge", "allow_msg_schedules", "sealed")
_UNLIMITED = (None, 0, -1)


def broken(area: str, stream: Stream, config: dict[str, Any], replicas: int = 1) -> Finding | None:
    """The promises that the server does not keep, with the remedy; none if it keeps all. `config`: as it says it.

    More `replicas` than the operator has asked for break no promise, and may be a setting that was forgotten.
    """
    there = StreamConfig.from_response(config)
    stands_on = there.num_replicas or 1
    wanted = stream_config(stream, replicas=max(stands_on, replicas))
    different = {
        name: (found, promised)
        for name in PROMISES
        if (found := _plain(name, there)) != (promised := _plain(name, wanted))
    }
    if not different:
        return _more(area, stream, stands_on, replicas) if stands_on > replicas else None
    says = "; ".join(_said(name, *pair) for name, pair in different.items())
    return failed(area, f"stream {stream.name}", says, _remedy({name: pair[0] for name, pair in different.items()}))


def _more(area: str, stream: Stream, stands_on: int, replicas: int) -> Finding:
    found = f"stands on {stands_on} nodes, NATS_REPLICAS is {replicas}"
    return warning(area, f"stream {stream.name}", found, FEWER)


def _plain(name: str, config: StreamConfig) -> object:
    value = getattr(config, name)
    if name == "allow_rollup_hdrs" and config.allow_msg_schedules:
        return False  # the server allows them wherever it keeps schedules, whatever it is told
    if name == "subjects":
        return tuple(sorted(value or ()))
    if name.startswith("max_"):
        return None if value in _UNLIMITED else int(value)
    return value or False


def _said(name: str, found: object, promised: object) -> str:
    if name == "subjects":
        return "its subjects are not those of these contracts"
    return f"{name} is {_word(found)}, not {_word(promised)}"


def _word(value: object) -> str:
    match value:
        case None:
            return "unlimited"
        case bool():
            return "on" if value else "off"
        case Enum():
            return str(value.value)
        case _:
            return str(value)


def _remedy(found: dict[str, object]) -> str:
    for_good = [name for name in _ONCE_AND_FOR_ALL if found.get(name)]
    if for_good or "storage" in found or found.get("retention") == RetentionPolicy.WORK_QUEUE:
        return ANEW
    return SCHEDULES if "allow_msg_schedules" in found else PROVISION
