"""The doctor compares every promise of the contracts, and its remedies are those that nats-server allows."""

import asyncio
import dataclasses
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, ServerError

from centralita.operations.doctor import bus
from centralita.operations.doctor.checks import Finding, Result
from centralita.operations.doctor.guarantees import ANEW, PROMISES, PROVISION
from chassis.provision import provision, stream_config
from contracts.streams import AUDIT, CALLS, DEAD_LETTERS, QUEUE, REQUESTS, STREAMS, Stream

STILL_REMOVING = 10049
"""The files of the stream that was deleted a moment ago."""
ANOTHER: list[tuple[Stream, dict[str, Any], str, str]] = [
    (AUDIT, {"deny_delete": False}, "deny_delete is off, not on", PROVISION),
    (AUDIT, {"deny_purge": False}, "deny_purge is off, not on", PROVISION),
    (QUEUE, {"max_msgs_per_subject": -1}, "max_msgs_per_subject is unlimited, not 1", PROVISION),
    (CALLS, {"allow_direct": False}, "allow_direct is off, not on", PROVISION),
    (CALLS, {"allow_msg_schedules": None}, "allow_msg_schedules is off, not on", PROVISION),
    (CALLS, {"max_age": 3600}, "max_age is 3600, not unlimited", PROVISION),
    (CALLS, {"max_bytes": 1_000_000}, "max_bytes is 1000000, not unlimited", PROVISION),
    (CALLS, {"max_msgs": 10}, "max_msgs is 10, not unlimited", PROVISION),
    (CALLS, {"max_msg_size": 10}, "max_msg_size is 10, not unlimited", PROVISION),
    (CALLS, {"no_ack": True}, "no_ack is on, not off", PROVISION),
    (REQUESTS, {"discard": DiscardPolicy.OLD}, "discard is old, not new", PROVISION),
    (QUEUE, {"discard_new_per_subject": True}, "discard_new_per_subject is on, not off", PROVISION),
    (REQUESTS, {"allow_rollup_hdrs": True}, "allow_rollup_hdrs is on, not off", PROVISION),
    (DEAD_LETTERS, {"subjects": ["dead.>"]}, "its subjects are not those of these contracts", PROVISION),
    (DEAD_LETTERS, {"retention": RetentionPolicy.INTEREST}, "retention is interest, not limits", PROVISION),
    (DEAD_LETTERS, {"retention": RetentionPolicy.WORK_QUEUE}, "retention is workqueue, not limits", ANEW),
    (CALLS, {"deny_delete": True}, "deny_delete is on, not off", ANEW),
    (REQUESTS, {"deny_purge": True}, "deny_purge is on, not off", ANEW),
    (CALLS, {"storage": StorageType.MEMORY}, "storage is memory, not file", ANEW),
    (
        DEAD_LETTERS,
        {"allow_msg_schedules": True, "discard": DiscardPolicy.OLD},
        "discard is old, not new; allow_msg_schedules is on, not off",
        ANEW,
    ),
]


async def made_anew(js: JetStreamContext, config: StreamConfig) -> None:
    await js.delete_stream(config.name or "")
    while True:
        try:
            await js.add_stream(config)
            return
        except ServerError as error:
            if error.err_code != STILL_REMOVING:
                raise
            await asyncio.sleep(0.2)


async def found(client: Client, stream: Stream) -> Finding:
    return next(one for one in await bus.check(client) if one.check == f"stream {stream.name}")


@pytest.mark.parametrize(
    ("stream", "changes", "says", "advice"),
    ANOTHER,
    ids=[f"{stream.name}-{'-'.join(map(str, changes.items()))}" for stream, changes, *_ in ANOTHER],
)
async def test_a_broken_promise_is_named_and_its_remedy_is_true(
    bus_client: Client, stream: Stream, changes: dict[str, Any], says: str, advice: str
) -> None:
    js = bus_client.jetstream()
    await made_anew(js, dataclasses.replace(stream_config(stream), **changes))
    finding = await found(bus_client, stream)
    assert (finding.result, finding.found) == (Result.FAILED, says)
    assert advice in finding.advice
    if advice is ANEW:
        with pytest.raises(APIError):
            await provision(js)
        await made_anew(js, stream_config(stream))
    await provision(js)
    assert (await found(bus_client, stream)).result is Result.OK


async def test_a_sealed_stream_can_only_be_made_anew(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await js.update_stream(dataclasses.replace(stream_config(REQUESTS), sealed=True))
    finding = await found(bus_client, REQUESTS)
    assert "sealed is on, not off" in finding.found
    assert finding.advice == ANEW


async def test_an_audit_that_could_be_deleted_from_can_be_no_longer_after_the_remedy(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await made_anew(js, dataclasses.replace(stream_config(AUDIT), deny_delete=False, deny_purge=False))
    entry = AUDIT.subjects[0].replace("*", "x").replace(">", "x")
    for _ in range(2):
        await js.publish(entry, b"{}")
    assert await js.delete_msg(AUDIT.name, 1), "it could be deleted from"
    finding = await found(bus_client, AUDIT)
    assert finding.found == "deny_delete is off, not on; deny_purge is off, not on"
    assert finding.advice == PROVISION
    await provision(js)
    assert (await found(bus_client, AUDIT)).result is Result.OK
    for attempt in (js.delete_msg(AUDIT.name, 2), js.purge_stream(AUDIT.name)):
        with pytest.raises(APIError):
            await attempt


async def test_what_was_provisioned_keeps_every_promise(bus_client: Client) -> None:
    findings = {one.check: one.result for one in await bus.check(bus_client)}
    assert {findings[f"stream {stream.name}"] for stream in STREAMS} == {Result.OK}


def test_nothing_that_the_contracts_say_of_a_stream_goes_unasked() -> None:
    told = {name for stream in STREAMS for name, value in vars(stream_config(stream)).items() if value is not None}
    defaults = {"template_owner", "duplicate_window"}
    assert told - set(PROMISES) - defaults == {"name", "description"}
