"""What bare nats-py needs for the same publishes, reads and acknowledgements, on the same server with the same log."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle, islice

from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy

from bench.calls.processes import read_usage
from bench.calls.recording import Recording, Template
from bench.calls.streams import LOG, stream_states

CHAIN = "dial.cleared"
CHAIN_LENGTH = 500
_CONSUMER = "bench-acknowledgements"
_FETCH = 100


@dataclass(frozen=True)
class Operations:
    """How many operations one call needs."""

    publishes: int
    leader_reads: int
    direct_reads: int
    acknowledgements: int


@dataclass(frozen=True)
class Baseline:
    """The seconds, and the CPU seconds of client and server, for one call's operations."""

    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float


@dataclass(frozen=True)
class _Publish:
    subject: str
    headers: dict[str, str]
    body: bytes


async def run_baseline(
    client: Client, recording: Recording, operations: Operations, *, calls: int, in_flight: int
) -> Baseline:
    """Does the operations of so many calls, some of them at a time. No service may run."""
    last_sequences = {name: state.last_sequence + 1 for name, state in (await stream_states(client)).items()}
    template = Template(recording)
    prepared = [_prepare(template, last_sequences, operations.publishes) for _ in range(calls)]
    await _create_consumer(client, last_sequences[LOG])
    slots = asyncio.Semaphore(in_flight)

    async def one(call_id: str, publishes: list[_Publish]) -> None:
        async with slots:
            await _do(client, call_id, publishes, operations)

    usage, cpu, began_at = read_usage(), time.process_time(), time.perf_counter()
    await asyncio.gather(*(one(call_id, publishes) for call_id, publishes in prepared))
    await _acknowledge(client, operations.acknowledgements * calls)
    seconds, client_cpu = time.perf_counter() - began_at, time.process_time() - cpu
    server_cpu = read_usage().since(usage)["nats-server"]
    await client.jetstream().delete_consumer(LOG, _CONSUMER)
    return Baseline(seconds / calls, client_cpu / calls, server_cpu / calls)


async def chain_per_second(client: Client, length: int = CHAIN_LENGTH) -> float:
    """Returns the guarded appends per second on one subject, each after the acknowledgement of the one before.

    Slots and permits are such chains: no cell begins more attempts in a second. No service may run.
    """
    js = client.jetstream()
    subjects = [one for one in (await js.stream_info(LOG)).config.subjects or () if one.startswith("dial.")]
    subject = CHAIN if CHAIN in subjects else f"{CHAIN}.chain"
    last = (await js.publish(subject, b"{}", headers={})).seq
    began_at = time.perf_counter()
    for _ in range(length):
        guard = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        last = (await js.publish(subject, b"{}", headers=guard)).seq
    return length / (time.perf_counter() - began_at)


def _prepare(template: Template, sequences: Mapping[str, int], count: int) -> tuple[str, list[_Publish]]:
    call_id, texts = template.copy(sequences)
    publishes = [_decode(*texts[index : index + 3]) for index in range(0, len(texts), 3)]
    return call_id, list(islice(_repeat(publishes), count))


def _repeat(publishes: list[_Publish]) -> Iterator[_Publish]:
    """Yields the messages again and again, each time with other ids, so that the server stores them."""
    for number, one in enumerate(cycle(publishes)):
        headers = dict(one.headers)
        if "Nats-Msg-Id" in headers:
            headers["Nats-Msg-Id"] += f"/{number}"
        yield replace(one, headers=headers)


def _decode(subject: bytes, header: bytes, body: bytes) -> _Publish:
    lines = [line.partition(b":") for line in header.split(b"\r\n")[1:] if line]
    headers = {name.decode(): value.strip().decode() for name, _, value in lines}
    return _Publish(subject.decode(), headers, body)


async def _do(client: Client, call_id: str, publishes: list[_Publish], operations: Operations) -> None:
    js = client.jetstream(timeout=30)
    for one in publishes:
        await js.publish(one.subject, one.body, headers=one.headers or None)
    decisions = f"call.*.{call_id}.*"
    literal = next(one.subject for one in publishes if one.subject.startswith("call.created."))
    for _ in range(operations.leader_reads):
        await js.get_last_msg(LOG, decisions)
    for _ in range(operations.direct_reads):
        await js.get_last_msg(LOG, literal, direct=True)


async def _create_consumer(client: Client, start_sequence: int) -> None:
    policy = DeliverPolicy.BY_START_SEQUENCE
    config = ConsumerConfig(durable_name=_CONSUMER, deliver_policy=policy, opt_start_seq=start_sequence)
    await client.jetstream().add_consumer(LOG, config=config)


async def _acknowledge(client: Client, count: int) -> None:
    subscription = await client.jetstream().pull_subscribe_bind(_CONSUMER, stream=LOG)
    while count > 0:
        for message in await subscription.fetch(min(_FETCH, count), timeout=30):
            await message.ack()
            count -= 1
    await client.flush()
    await subscription.unsubscribe()
