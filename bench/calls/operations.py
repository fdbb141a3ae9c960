"""Single operations: how long each takes while the system does nothing else, at one size of the log.

They are read from outside: the times at which the server stored two events, the simulated provider's record of its
requests, and requests to the REST API. So they contain every step of the system, in any checkout.
"""

import asyncio
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from nats.aio.client import Client

from bench.calls.driving import drive, numbers, prepare_callees, request
from bench.calls.processes import wait_until_quiet
from bench.calls.run import KINDS, WARM_UP_CALLS, Figures, Filled, copy_of
from bench.calls.streams import LOG, StoredMessage, read_stream, stream_states
from bench.calls.system import RunningSystem, Variant, running_services
from contracts import call_id_of

REPETITIONS = 20
LOOK_UPS = 5
_LOOK_UP_SECONDS = 180


async def measure_operations(filled: Filled, folder: Path, variant: Variant, *, look_ups: bool) -> Figures:
    """Returns the median milliseconds of each operation. Calls run one after the other."""
    async with copy_of(filled, folder, variant) as (system, client), running_services(system, variant):
        await wait_until_quiet()
        for kind in KINDS:
            await drive(client, system.control_url, kind, WARM_UP_CALLS, skip=1)
        before = (await stream_states(client))[LOG].last_sequence
        skip = 1 + WARM_UP_CALLS
        for kind, count in (("unanswered", REPETITIONS), ("conversation", REPETITIONS // 2)):
            for number in range(count):
                await drive(client, system.control_url, kind, 1, skip=skip + number)
        await wait_until_quiet()
        messages = [one async for one in read_stream(client, LOG, after_sequence=before)]
        figures = _from_log(messages) | await _from_ledger(system.control_url, skip) | await _from_rest(system, filled)
        if look_ups:
            figures |= await _look_ups(client, system, skip + REPETITIONS)
    return {f"operation: {name}, ms": value for name, value in figures.items()}


def _from_log(messages: Iterable[StoredMessage]) -> Figures:
    """Returns the medians of the times between two events of a call."""
    pairs = {
        "slot (waiting for it until it is granted)": (("call.due", "call.created"), "admission.granted"),
        "dial (ordered until placed, with the provider's answer)": (("call.status_changed.dialing",), "dial.placed"),
        "first sentence of a turn (speech until audio is requested)": (("speech.heard",), "audio.requested"),
        "report of the network (stored until decided)": (
            ("telephony.status_reported",),
            "call.status_changed.no_answer",
        ),
    }
    found: dict[str, list[float]] = defaultdict(list)
    for events in _by_call(messages).values():
        for name, (firsts, last) in pairs.items():
            found[name] += _spans(events, firsts, last)
    return {name: statistics.median(found[name]) * 1000 for name in pairs if found[name]}


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


async def _from_ledger(control_url: str, skip: int) -> Figures:
    """Returns what the provider measured: the answers to its webhooks, and the first byte of each audio."""
    wanted = {number for kind in KINDS for number in islice(numbers(kind), skip, skip + REPETITIONS)}
    async with httpx.AsyncClient(timeout=30) as http:
        calls = (await http.get(f"{control_url}/_simulator/ledger")).json()["calls"]
    entries = [call for call in calls if call["to"] in wanted]
    seconds: dict[str, list[float]] = defaultdict(list)
    for call in entries:
        for webhook in call["webhooks"]:
            seconds[f"webhook: {webhook['kind']}"].append(webhook["seconds"])
        greeting, *turns = [play["first_byte_seconds"] for play in call["plays"]] or [None]
        seconds["first byte of the greeting"].append(greeting)
        seconds["first byte of a turn's audio"] += turns
    known = {name: [one for one in values if one is not None] for name, values in seconds.items()}
    return {name: statistics.median(values) * 1000 for name, values in known.items() if values}


async def _from_rest(system: RunningSystem, filled: Filled) -> Figures:
    """Returns the times of REST requests about calls of the filled log."""
    ids = filled.prefill.call_ids[:: max(1, len(filled.prefill.call_ids) // (2 * REPETITIONS))]
    url = f"{system.urls['edge']}/api/v1/calls"
    paths: dict[str, Callable[[str], str]] = {
        "GET of an ended call": lambda call_id: f"{url}/{call_id}",
        "GET of its events": lambda call_id: f"{url}/{call_id}/events",
    }
    figures: Figures = {}
    async with httpx.AsyncClient(timeout=30) as http:
        for name, path in paths.items():
            times = []
            for call_id in ids:
                began_at = time.perf_counter()
                (await http.get(path(call_id))).raise_for_status()
                times.append(time.perf_counter() - began_at)
                await asyncio.sleep(0.02)
            figures[name] = statistics.median(times) * 1000
    return figures


async def _look_ups(client: Client, system: RunningSystem, skip: int) -> Figures:
    """Loses the answer of each dial and all reports, and returns how long the look-up takes once it is requested."""
    rule = {"target": "twilio", "method": "POST", "path": "/Calls\\.json$", "kind": "lost_response"}
    wanted = list(islice(numbers("unanswered"), skip, skip + LOOK_UPS))
    await prepare_callees(system.control_url, "unanswered", wanted)
    before = (await stream_states(client))[LOG].last_sequence
    await _set_faults(system.control_url, [rule], drop=1)
    try:
        ids = [await _request(client, number) for number in wanted]
        await _wait_for_look_ups(client, before, ids)
    finally:
        await _set_faults(system.control_url, [], drop=0)
    messages = [one async for one in read_stream(client, LOG, after_sequence=before)]
    spans = [
        span
        for events in _by_call(messages).values()
        for span in _spans(events, ("call.settlement_requested",), "dial.looked_up")
    ]
    return {"look-up of an attempt without answer": statistics.median(spans) * 1000} if spans else {}


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
