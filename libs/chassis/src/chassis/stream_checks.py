"""The settings of each stream that the contracts define, compared with those of the server.

Which settings of an existing stream can be changed is decided by nats-server (2.15; a test checks it). Nearly all can
be. Some cannot be switched off again once they are on, and a stream cannot move from memory to disk.
"""

from enum import Enum
from typing import Any

from nats.js.api import RePublish, RetentionPolicy, StreamConfig, StreamSource

from chassis.findings import Finding, failed, warning
from chassis.provision import stream_config
from contracts.streams import CALLS, Stream

PROVISION = (
    "run `python -m chassis.provision` with the NATS_URL of the user admin: it creates what is missing and corrects "
    "what differs"
)
RECREATE = (
    "nats-server cannot change this setting of an existing stream. Let the open calls end, stop the services, export "
    "the stream (CALLS and REQUESTS: `centralita replay export`), delete it as the user admin, then run `python -m "
    "chassis.provision`"
)
MIGRATE = (
    "stop all services, then run `python -m chassis.migrate` with the NATS_URL of the user admin: it keeps all "
    "messages and positions (docs/production.md)"
)
UPGRADE = f"upgrade to nats-server 2.15 or newer; then {PROVISION}"

MORE_REPLICAS = (
    "provisioning never removes replicas. If this number is wanted, set NATS_REPLICAS to it. If not, run `nats stream "
    "edit --replicas` as the user admin; then the remaining replicas are the only copies of the log"
)

SETTINGS = (
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
    "allow_msg_ttl",
    "duplicate_window",
    "sources",
    "republish",
    "no_ack",
    "sealed",
)
"""The settings that are compared, by the names of `nats.js.api.StreamConfig`."""
_IRREVERSIBLE = ("deny_delete", "deny_purge", "allow_msg_schedules", "allow_msg_ttl", "sealed")
_UNLIMITED = (None, 0, -1)


def check_settings(area: str, stream: Stream, config: dict[str, Any], replicas: int = 1) -> Finding | None:
    """Returns a finding that names the settings that differ, with the remedy; None if all are equal.

    `config`: the server's answer. More replicas than `replicas` are a warning: perhaps NATS_REPLICAS was forgotten.
    """
    actual = StreamConfig.from_response(config)
    actual_replicas = actual.num_replicas or 1
    expected = stream_config(stream, replicas=max(actual_replicas, replicas))
    different = {
        name: (found, wanted)
        for name in SETTINGS
        if (found := _comparable(name, actual)) != (wanted := _comparable(name, expected))
    }
    if different:
        description = "; ".join(_description(name, *pair) for name, pair in different.items())
        remedy = _remedy(stream, {name: found for name, (found, _) in different.items()})
        return failed(area, f"stream {stream.name}", description, remedy)
    if actual_replicas > replicas:
        description = f"has {actual_replicas} replicas, NATS_REPLICAS is {replicas}"
        return warning(area, f"stream {stream.name}", description, MORE_REPLICAS)
    return None


def _comparable(name: str, config: StreamConfig) -> object:
    value = getattr(config, name)
    if name == "allow_rollup_hdrs" and config.allow_msg_schedules:
        return False  # the server switches it on for every stream with schedules
    if name == "subjects":
        return tuple(sorted(value or ()))
    if name == "sources":
        return tuple(_source(source) for source in value or ())
    if name.startswith("max_") or name == "duplicate_window":
        return None if value in _UNLIMITED else int(value)
    return value or False


def _source(source: StreamSource) -> str:
    copies = [f"{one.src} as {one.dest}" for one in source.subject_transforms or ()]
    return f"{source.name} ({', '.join(copies) or source.filter_subject or 'all'})"


def _description(name: str, found: object, wanted: object) -> str:
    if name == "subjects":
        return "its subjects differ from the contracts"
    return f"{name} is {_value(found)}, not {_value(wanted)}"


def _value(value: object) -> str:
    match value:
        case None:
            return "unlimited"
        case bool():
            return "on" if value else "off"
        case RePublish():
            return f"{value.src} on {value.dest}{' (headers only)' if value.headers_only else ''}"
        case tuple():
            return ", ".join(map(str, value)) or "none"
        case Enum():
            return str(value.value)
        case _:
            return str(value)


def _remedy(stream: Stream, found: dict[str, object]) -> str:
    if stream.name == CALLS.name and found.get("allow_msg_schedules"):
        return MIGRATE
    is_irreversible = any(found.get(name) for name in _IRREVERSIBLE)
    if is_irreversible or "storage" in found or found.get("retention") == RetentionPolicy.WORK_QUEUE:
        return RECREATE
    return UPGRADE if "allow_msg_schedules" in found else PROVISION
