"""Single operations: how long each takes while the system does nothing else, at one size of the log.

They are read from outside: the times at which the server stored two events, the simulated provider's record of its
requests, and requests to the REST API. So they contain every step of the system, in any checkout.
"""

import asyncio
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from nats.aio.client import Client

from bench.calls.driving import drive, numbers, prepare_callees, request
from bench.calls.processes import wait_until_quiet
from bench.calls.run import KINDS, WARM_UP_CALLS, Figures, Filled, copy_of
from bench.calls.streams import LOG, StoredMessage, read_stream, stream_states
from bench.calls.system import RunningSystem, Variant, running_services
from contracts import call_id_of

REPETITIONS = {"unanswered": 30, "conversation": 15}
"""Calls of each kind in one round, for each log."""
REST_REQUESTS = 60
FIRST_READS = 10
LOOK_UPS = 10
SPREAD = "ms between its quartiles"
_UNMEASURED = 4
_LOOK_UP_SECONDS = 180
_RECONNECT_SECONDS = 60
Samples = dict[str, list[float]]


@dataclass(frozen=True)
class _Measured:
    """A running system; `samples`: the seconds of each operation."""

    filled: Filled
    system: RunningSystem
    client: Client
    samples: Samples = field(default_factory=lambda: defaultdict(list))


async def measure_operations(
    logs: Sequence[Filled], folder: Path, variant: Variant, *, look_ups: bool
) -> list[Figures]:
    """Returns, for each log, the median milliseconds of each operation and the distance of its quartiles.

    All systems run at the same time. Operations take turns, one after the other, so that each log is measured under
    the same load of the machine.
    """
    async with AsyncExitStack() as stack:
        running = []
        for number, filled in enumerate(logs):
            own = folder.with_name(f"{folder.name}-{number}")
            system, client = await stack.enter_async_context(copy_of(filled, own, variant))
            await stack.enter_async_context(running_services(system, variant))
            running.append(_Measured(filled, system, client))
        await wait_until_quiet()
        skip = 1 + WARM_UP_CALLS
        for one in running:
            for kind in KINDS:
                await drive(one.client, one.system.control_url, kind, WARM_UP_CALLS, skip=1)
        before = [(await stream_states(one.client))[LOG].last_sequence for one in running]
        for kind, count in REPETITIONS.items():
            for number in range(count):
                for one in running if number % 2 == 0 else running[::-1]:
                    await drive(one.client, one.system.control_url, kind, 1, skip=skip + number)
        await wait_until_quiet()
        for one, sequence in zip(running, before, strict=True):
            _add_from_log(
                one.samples, [message async for message in read_stream(one.client, LOG, after_sequence=sequence)]
            )
            await _add_from_ledger(one.samples, one.system.control_url, skip)
        await _add_from_rest(running)
        if look_ups:
            await asyncio.gather(*(_add_look_ups(one, skip + max(REPETITIONS.values())) for one in running))
            await _add_first_reads(running)
    return [_figures(one.samples) for one in running]


def _figures(samples: Samples) -> Figures:
    """Returns the median of each operation with at least two samples, and the distance of its quartiles."""
    figures: Figures = {}
    for name, seconds in samples.items():
        if len(seconds) > 1:
            first, median, third = (one * 1000 for one in statistics.quantiles(seconds, n=4, method="inclusive"))
            figures[f"operation: {name}, ms"] = median
            figures[f"operation: {name}, {SPREAD}"] = third - first
    return figures


def _add_from_log(samples: Samples, messages: Iterable[StoredMessage]) -> None:
    """Adds the times between two events of a call."""
    pairs = {
        "grant (a call waits until it has a slot)": (("call.due", "call.created"), "admission.granted"),
        "dial (ordered until placed, with the provider's answer)": (("call.status_changed.dialing",), "dial.placed"),
        "turn (speech until its first sentence is requested)": (("speech.heard",), "audio.requested"),
        "report of the network (stored until decided)": (
            ("telephony.status_reported",),
            "call.status_changed.no_answer",
        ),
    }
    for events in _by_call(messages).values():
        for name, (firsts, last) in pairs.items():
            samples[name] += _spans(events, firsts, last)


def _by_call(messages: Iterable[StoredMessage]) -> dict[str, list[tuple[str, float]]]:
    """Returns name and time of the events of each call, in the order of the log; decisions with their status."""
    calls: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for one in messages:
        family, fact, *rest = one.subject.split(".")
        call_id = rest[0] if rest else _call_id(one.body)
        name = f"{family}.{fact}" + (f".{rest[1]}" if fact == "status_changed" else "")
        calls[call_id].append((name, datetime.fromisoformat(one.stored_at[:26].rstrip("Z") + "+00:00").timestamp()))
    return calls


def _call_id(body: bytes) -> str:
    return str(json.loads(body).get("call_id", ""))


def _spans(events: Sequence[tuple[str, float]], firsts: Sequence[str], last: str) -> list[float]:
    """Returns the seconds from each of `firsts` to the next `last`; of several `firsts` in a row, the last counts."""
    spans: list[float] = []
    begin_at: float | None = None
    for name, at in events:
        if name in firsts:
            begin_at = at
        elif name == last and begin_at is not None:
            spans.append(at - begin_at)
            begin_at = None
    return spans


async def _add_from_ledger(samples: Samples, control_url: str, skip: int) -> None:
    """Adds what the provider measured: the answers to its webhooks, and the first byte of each audio."""
    wanted = {number for kind, count in REPETITIONS.items() for number in islice(numbers(kind), skip, skip + count)}
    async with httpx.AsyncClient(timeout=30) as http:
        calls = (await http.get(f"{control_url}/_simulator/ledger")).json()["calls"]
    for call in calls:
        if call["to"] not in wanted:
            continue
        for webhook in call["webhooks"]:
            if webhook["seconds"] is not None:
                samples[f"webhook: {webhook['kind']}"].append(webhook["seconds"])
        for number, play in enumerate(call["plays"]):
            if play["first_byte_seconds"] is not None:
                name = "first byte of a turn's audio" if number else "first byte of the greeting"
                samples[name].append(play["first_byte_seconds"])


async def _add_from_rest(running: Sequence[_Measured]) -> None:
    """Adds the times of REST requests about calls that were read a moment before, so nats-server has them in memory."""
    async with httpx.AsyncClient(timeout=30) as http:
        for number in range(-_UNMEASURED, REST_REQUESTS):
            for one in running if number % 2 == 0 else running[::-1]:
                ids = one.filled.prefill.call_ids
                url = _url(one, ids[number % REST_REQUESTS * len(ids) // REST_REQUESTS])
                await _seconds_of(http, url)
                call_seconds, events_seconds = await _seconds_of(http, url), await _seconds_of(http, f"{url}/events")
                if number >= 0:
                    one.samples["look-up: GET of an ended call, again"].append(call_seconds)
                    one.samples["look-up: GET of its events"].append(events_seconds)
            await asyncio.sleep(0.02)


async def _add_first_reads(running: Sequence[_Measured]) -> None:
    """Adds the times of the first read of an old call after a start of nats-server, which loads a block from disk.

    The calls are from the first half of the log, where also the smallest log has a full block.
    """
    async with httpx.AsyncClient(timeout=30) as http:
        for number in range(FIRST_READS):
            for one in running:
                for server in one.system.servers:
                    await asyncio.to_thread(server.stop)
                    await asyncio.to_thread(server.start)
                await _wait_until_connected(http, one)
            await wait_until_quiet()
            for one in running if number % 2 == 0 else running[::-1]:
                ids = one.filled.prefill.call_ids
                url = _url(one, ids[number * len(ids) // 2 // FIRST_READS])
                one.samples["look-up: GET of an ended call, first after a start of nats-server"].append(
                    await _seconds_of(http, url)
                )


async def _wait_until_connected(http: httpx.AsyncClient, one: _Measured) -> None:
    """Returns when the edge can read the log again: it answers that an unknown call does not exist."""
    async with asyncio.timeout(_RECONNECT_SECONDS):
        while (await http.get(_url(one, str(uuid4())))).status_code != httpx.codes.NOT_FOUND:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _url(one: _Measured, call_id: str) -> str:
    return f"{one.system.urls['edge']}/api/v1/calls/{call_id}"


async def _seconds_of(http: httpx.AsyncClient, url: str) -> float:
    began_at = time.perf_counter()
    (await http.get(url)).raise_for_status()
    return time.perf_counter() - began_at


async def _add_look_ups(one: _Measured, skip: int) -> None:
    """Loses the answer of each dial and all reports, and adds how long the look-up takes once it is requested."""
    rule = {"target": "twilio", "method": "POST", "path": "/Calls\\.json$", "kind": "lost_response"}
    wanted = list(islice(numbers("unanswered"), skip, skip + LOOK_UPS))
    control_url = one.system.control_url
    await prepare_callees(control_url, "unanswered", wanted)
    before = (await stream_states(one.client))[LOG].last_sequence
    await _set_faults(control_url, [rule], drop=1)
    try:
        ids = [await _request(one.client, number) for number in wanted]
        await _wait_for_look_ups(one.client, before, ids)
    finally:
        await _set_faults(control_url, [], drop=0)
    messages = [message async for message in read_stream(one.client, LOG, after_sequence=before)]
    for events in _by_call(messages).values():
        spans = _spans(events, ("call.settlement_requested",), "dial.looked_up")
        one.samples["look-up: attempt without an answer of the provider"] += spans


async def _set_faults(control_url: str, rules: list[dict[str, Any]], *, drop: float) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        (await http.put(f"{control_url}/_simulator/faults", json=rules)).raise_for_status()
        (await http.put(f"{control_url}/_simulator/callbacks", json={"drop": drop})).raise_for_status()


async def _request(client: Client, number: str) -> str:
    body = request("unanswered", number)
    await client.publish("call.requested", json.dumps(body).encode())
    return str(call_id_of(str(body["request_id"])))


async def _wait_for_look_ups(client: Client, after_sequence: int, ids: Sequence[str]) -> None:
    async with asyncio.timeout(_LOOK_UP_SECONDS):
        while True:
            subjects = [one.subject async for one in read_stream(client, LOG, after_sequence=after_sequence)]
            if all(f"dial.looked_up.{call_id}" in subjects for call_id in ids):
                return
            await asyncio.sleep(2)
