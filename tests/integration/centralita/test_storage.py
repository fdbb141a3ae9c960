"""The sizes of streams and buckets: chosen by the operator, shown by the doctor, enforced by the server."""

from dataclasses import replace

import pytest
from nats.aio.client import Client
from nats.js.errors import APIError

from centralita.operations.doctor import bus
from chassis.dead_letters import DeadLetterRefused, store_dead_letter
from chassis.findings import Result
from chassis.jetstream_info import read_info
from chassis.provision import Settings, provision
from chassis.storage_checks import REMEDIES, check_storage
from contracts.buckets import BUCKETS, WATCHED_STREAMS
from contracts.dead_letters import DeadLetter
from contracts.streams import AUDIT, CALLS, CONTACTS, DEAD_LETTERS, MEGABYTE, REQUESTS, STREAMS


def test_the_default_sizes_are_those_of_the_contracts() -> None:
    defaults = Settings.model_construct().max_bytes
    assert defaults == {stream.name: stream.max_bytes for stream in (REQUESTS, CONTACTS, AUDIT)}


def test_every_stream_and_bucket_has_a_remedy_and_a_gauge() -> None:
    names = {stream.name for stream in STREAMS} | {bucket.stream.name for bucket in BUCKETS}
    assert {stream.name for stream in REMEDIES} == names == {stream.name for stream in WATCHED_STREAMS}


async def test_provisioning_sets_the_sizes_that_the_operator_chooses(bus_client: Client) -> None:
    js = bus_client.jetstream()
    sizes = {REQUESTS.name: 3 * MEGABYTE}
    await provision(bus_client, max_bytes=sizes)
    assert (await js.stream_info(REQUESTS.name)).config.max_bytes == 3 * MEGABYTE
    assert (await js.stream_info(AUDIT.name)).config.max_bytes == AUDIT.max_bytes
    wrong = {one.check: one for one in await bus.check(bus_client)}["stream REQUESTS"]
    assert wrong.result is Result.FAILED
    assert "max_bytes is 3145728, not 2147483648" in wrong.found
    assert {one.check: one for one in await bus.check(bus_client, 1, sizes)}["stream REQUESTS"].result is Result.OK


async def test_the_doctor_warns_before_a_stream_is_full_and_a_full_one_refuses(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await provision(bus_client, max_bytes={REQUESTS.name: MEGABYTE})
    found = {one.check: one for one in check_storage(await read_info(bus_client))}
    assert found["size of REQUESTS"].result is Result.OK
    assert found["size of CALLS"].found.endswith("no limit")
    while (await js.stream_info(REQUESTS.name)).state.bytes < 0.8 * MEGABYTE:
        await js.publish("call.requested", b"x" * 50_000)
    (found_again,) = [one for one in check_storage(await read_info(bus_client)) if one.check == "size of REQUESTS"]
    assert found_again.result is Result.WARNING
    assert "centralita archive" in found_again.advice
    assert "REQUESTS_MAX_MEGABYTES" in found_again.advice
    with pytest.raises(APIError, match="maximum bytes exceeded"):
        await js.publish("call.requested", b"x" * 300_000)


async def test_a_full_stream_of_dead_letters_refuses_them(bus_client: Client) -> None:
    js = bus_client.jetstream()
    config = (await js.stream_info(DEAD_LETTERS.name)).config
    await js.update_stream(replace(config, max_bytes=1))
    message = DeadLetter.of(
        stream=REQUESTS.name,
        sequence=1,
        consumer="orchestrator-requests",
        subject="call.requested",
        reasons=["phone_number: missing"],
        deliveries=1,
    )
    with pytest.raises(DeadLetterRefused):
        await store_dead_letter(bus_client, message)


async def test_streams_that_hold_what_is_in_progress_have_no_limit(bus_client: Client) -> None:
    found = {one.check: one.found for one in check_storage(await read_info(bus_client))}
    unlimited = {name for name, text in found.items() if "no limit" in text}
    assert unlimited == {"size of CALLS", "size of SCHEDULES", "size of NUMBERS"}
    assert DEAD_LETTERS.max_bytes
    assert CALLS.max_bytes is None
