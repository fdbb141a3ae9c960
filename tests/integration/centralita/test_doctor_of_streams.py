"""The doctor compares every stream setting of the contracts, and its remedies work on a real nats-server."""

import asyncio
import dataclasses
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RePublish, RetentionPolicy, StorageType, StreamConfig, StreamSource
from nats.js.errors import APIError, ServerError

from centralita.operations.doctor import bus
from chassis.findings import Finding, Result
from chassis.provision import provision, stream_config
from chassis.stream_checks import PROVISION, RECREATE, SETTINGS
from contracts.streams import AUDIT, CALLS, DEAD_LETTERS, QUEUE, REQUESTS, SCHEDULES, STREAMS, Stream

STILL_REMOVING = 10049
"""The server's error code while it still removes the files of a deleted stream."""
DIFFERENCES: list[tuple[Stream, dict[str, Any], str, str]] = [
    (AUDIT, {"deny_delete": False}, "deny_delete is off, not on", PROVISION),
    (AUDIT, {"deny_purge": False}, "deny_purge is off, not on", PROVISION),
    (QUEUE, {"max_msgs_per_subject": -1}, "max_msgs_per_subject is unlimited, not 1", PROVISION),
    (CALLS, {"allow_direct": False}, "allow_direct is off, not on", PROVISION),
    (SCHEDULES, {"allow_msg_schedules": None}, "allow_msg_schedules is off, not on", PROVISION),
    (SCHEDULES, {"allow_msg_ttl": None}, "allow_msg_ttl is off, not on", PROVISION),
    (CALLS, {"allow_msg_ttl": True}, "allow_msg_ttl is on, not off", RECREATE),
    (CALLS, {"duplicate_window": 60}, "duplicate_window is 60, not 120", PROVISION),
    (CALLS, {"sources": None}, "sources is none, not SCHEDULES (timer.fired.* as timer.due.$1)", PROVISION),
    (
        CALLS,
        {"sources": [StreamSource(name=SCHEDULES.name, filter_subject="timer.>")]},
        "sources is SCHEDULES (timer.>), not SCHEDULES (timer.fired.* as timer.due.$1)",
        PROVISION,
    ),
    (CALLS, {"max_age": 3600}, "max_age is 3600, not unlimited", PROVISION),
    (CALLS, {"max_bytes": 1_000_000}, "max_bytes is 1000000, not unlimited", PROVISION),
    (CALLS, {"max_msgs": 10}, "max_msgs is 10, not unlimited", PROVISION),
    (CALLS, {"max_msg_size": 10}, "max_msg_size is 10, not unlimited", PROVISION),
    (CALLS, {"republish": None}, "republish is off, not > on live.CALLS.>", PROVISION),
    (
        QUEUE,
        {"republish": RePublish(src="queue.>", dest="here.>", headers_only=True)},
        "republish is queue.> on here.> (headers only), not > on live.QUEUE.>",
        PROVISION,
    ),
    (CALLS, {"no_ack": True}, "no_ack is on, not off", PROVISION),
    (REQUESTS, {"discard": DiscardPolicy.OLD}, "discard is old, not new", PROVISION),
    (QUEUE, {"discard_new_per_subject": True}, "discard_new_per_subject is on, not off", PROVISION),
    (REQUESTS, {"allow_rollup_hdrs": True}, "allow_rollup_hdrs is on, not off", PROVISION),
    (DEAD_LETTERS, {"subjects": ["dead.>"]}, "its subjects differ from the contracts", PROVISION),
    (DEAD_LETTERS, {"retention": RetentionPolicy.INTEREST}, "retention is interest, not limits", PROVISION),
    (DEAD_LETTERS, {"retention": RetentionPolicy.WORK_QUEUE}, "retention is workqueue, not limits", RECREATE),
    (CALLS, {"deny_delete": True}, "deny_delete is on, not off", RECREATE),
    (REQUESTS, {"deny_purge": True}, "deny_purge is on, not off", RECREATE),
    (CALLS, {"storage": StorageType.MEMORY}, "storage is memory, not file", RECREATE),
    (
        DEAD_LETTERS,
        {"allow_msg_schedules": True, "discard": DiscardPolicy.OLD},
        "discard is old, not new; allow_msg_schedules is on, not off",
        RECREATE,
    ),
]


async def recreate(js: JetStreamContext, config: StreamConfig) -> None:
    await js.delete_stream(config.name or "")
    while True:
        try:
            await js.add_stream(config)
            return
        except ServerError as error:
            if error.err_code != STILL_REMOVING:
                raise
            await asyncio.sleep(0.2)


async def find_stream(client: Client, stream: Stream) -> Finding:
    return next(one for one in await bus.check(client) if one.check == f"stream {stream.name}")


@pytest.mark.parametrize(
    ("stream", "changes", "description", "advice"),
    DIFFERENCES,
    ids=[f"{stream.name}-{'-'.join(map(str, changes.items()))}" for stream, changes, *_ in DIFFERENCES],
)
async def test_a_different_setting_is_named_and_its_remedy_works(
    bus_client: Client, stream: Stream, changes: dict[str, Any], description: str, advice: str
) -> None:
    js = bus_client.jetstream()
    await recreate(js, dataclasses.replace(stream_config(stream), **changes))
    finding = await find_stream(bus_client, stream)
    assert (finding.result, finding.found) == (Result.FAILED, description)
    assert advice in finding.advice
    if advice is RECREATE:
        with pytest.raises(APIError):
            await provision(bus_client)
        await recreate(js, stream_config(stream))
    await provision(bus_client)
    assert (await find_stream(bus_client, stream)).result is Result.OK


async def test_a_sealed_stream_must_be_recreated(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await js.update_stream(dataclasses.replace(stream_config(REQUESTS), sealed=True))
    finding = await find_stream(bus_client, REQUESTS)
    assert "sealed is on, not off" in finding.found
    assert finding.advice == RECREATE


async def test_the_remedy_forbids_deletions_from_the_audit_log(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await recreate(js, dataclasses.replace(stream_config(AUDIT), deny_delete=False, deny_purge=False))
    entry = AUDIT.subjects[0].replace("*", "x").replace(">", "x")
    for _ in range(2):
        await js.publish(entry, b"{}")
    assert await js.delete_msg(AUDIT.name, 1), "deletion was allowed"
    finding = await find_stream(bus_client, AUDIT)
    assert finding.found == "deny_delete is off, not on; deny_purge is off, not on"
    assert finding.advice == PROVISION
    await provision(bus_client)
    assert (await find_stream(bus_client, AUDIT)).result is Result.OK
    for attempt in (js.delete_msg(AUDIT.name, 2), js.purge_stream(AUDIT.name)):
        with pytest.raises(APIError):
            await attempt


async def test_provisioned_streams_have_no_differences(bus_client: Client) -> None:
    findings = {one.check: one.result for one in await bus.check(bus_client)}
    assert {findings[f"stream {stream.name}"] for stream in STREAMS} == {Result.OK}


def test_every_stream_setting_of_the_contracts_is_compared() -> None:
    defined = {name for stream in STREAMS for name, value in vars(stream_config(stream)).items() if value is not None}
    defaults = {"template_owner"}
    assert defined - set(SETTINGS) - defaults == {"name", "description"}
