"""The account: accepts create requests, keeps its calls, and limits the rate at which they are dialled."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping

from starlette.datastructures import FormData

from simulators.twilio.background_tasks import BackgroundTasks
from simulators.twilio.call import Call
from simulators.twilio.call_clock import CallClock
from simulators.twilio.call_lifecycle import CallLifecycle
from simulators.twilio.callees import Behaviour, Population
from simulators.twilio.create_parameters import CreateParameters, RequestRefused, read_create
from simulators.twilio.ledger import CallEntry, ErrorEntry, Ledger, Refusal
from simulators.twilio.status_callbacks import CallbackFaults, StatusCallbacks
from simulators.twilio.stream_faults import StreamFaults
from simulators.twilio.stream_settings import StreamSettings
from simulators.twilio.twiml_session import Fetch
from simulators.twilio.webhooks import Webhooks

_NOT_IN_PROGRESS = (21220, "Unable to update record. Call is not in-progress. Cannot redirect.")


class Account:
    """One Twilio account. `speed` divides simulated time; `calls_per_second` is in simulated time."""

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        seed: int,
        speed: float,
        behaviours: Mapping[str, float] | None,
        calls_per_second: float,
        streams: StreamSettings | None = None,
    ) -> None:
        self.account_sid = account_sid
        self.population = Population(seed, behaviours)
        self.ledger = Ledger()
        self.callback_faults = CallbackFaults()
        self.streams = streams or StreamSettings()
        self._seed, self._speed = seed, speed
        self._dial_interval = 1.0 / (calls_per_second * speed)
        self._next_dial_at = 0.0
        self._webhooks = Webhooks(auth_token)
        self._tasks = BackgroundTasks()
        self._lifecycles: dict[str, CallLifecycle] = {}
        self._call_counts: Counter[str] = Counter()

    @property
    def calls(self) -> list[Call]:
        """All calls since the last reset, newest first (the order of Twilio's lists)."""
        return [lifecycle.call for lifecycle in reversed(self._lifecycles.values())]

    def create_call(self, form: FormData) -> Call:
        """Accepts a create request and starts the call. Raises RequestRefused."""
        try:
            call = self._accept(read_create(form))
        except RequestRefused as refused:
            self.ledger.refused.append(Refusal(str(form.get("To", "")), refused.code))
            raise
        callbacks = StatusCallbacks(call, self._webhooks, self._tasks.spawn, lambda: self.callback_faults, self._seed)
        lifecycle = CallLifecycle(
            call, self._webhooks, callbacks, self._tasks, self._wait_for_dial, self.streams, self.population.dial
        )
        self.ledger.calls.append(call.entry)
        self._lifecycles[call.sid] = lifecycle
        self._tasks.spawn(lifecycle.run())
        return call

    def find_call(self, sid: str) -> Call | None:
        """Returns the call with this SID, if it exists."""
        lifecycle = self._lifecycles.get(sid)
        return None if lifecycle is None else lifecycle.call

    async def hang_up(self, call: Call, status: str) -> None:
        """Updates a call to `completed` or `canceled`. Raises RequestRefused (21220) if it is over.

        `canceled` does not affect a call in progress. A call that is not answered yet ends as `canceled` in both
        cases (an assumption: Twilio's documentation names no status for `completed` before the answer).
        """
        if call.is_over:
            raise RequestRefused(*_NOT_IN_PROGRESS)
        if call.entry.status != "in-progress":
            await self._lifecycles[call.sid].hang_up("canceled")
        elif status == "completed":
            await self._lifecycles[call.sid].hang_up("completed")

    async def redirect(self, call: Call, url: str | None, method: str, twiml: str) -> None:
        """Continues a call with another document. Raises RequestRefused (21220) if it is not in progress."""
        if call.entry.status != "in-progress":
            raise RequestRefused(*_NOT_IN_PROGRESS)
        await self._lifecycles[call.sid].redirect(twiml if url is None else Fetch("redirect", url, method))

    async def reset(self) -> None:
        """Stops and removes all calls; clears the ledger, the callees' overrides, faults of callbacks and streams."""
        await self._tasks.cancel_all()
        self._lifecycles.clear()
        self._call_counts.clear()
        self.ledger.clear()
        self.population.reset()
        self.callback_faults = CallbackFaults()
        self.streams.faults = StreamFaults()
        self._next_dial_at = 0.0

    async def aclose(self) -> None:
        """Stops all calls and closes the HTTP client."""
        await self._tasks.cancel_all()
        await self._webhooks.aclose()

    def _accept(self, parameters: CreateParameters) -> Call:
        callee = self.population.dial(parameters.to)
        if callee.behaviour is Behaviour.REFUSED:
            raise RequestRefused(21211, "The 'To' number is not a valid phone number.")
        entry = CallEntry(
            sid=self._new_sid(parameters.to),
            to=parameters.to,
            from_=parameters.from_,
            url=parameters.url,
            behaviour=callee.behaviour,
        )
        for event in sorted(parameters.unknown_events):
            entry.errors.append(ErrorEntry(21626, f"unknown StatusCallbackEvent {event!r}"))
        clock = CallClock(self._speed, time_limit=parameters.time_limit, callee_limit=callee.max_call_seconds)
        return Call(self.account_sid, entry, parameters, callee, clock)

    def _new_sid(self, to: str) -> str:
        """Returns a SID that depends on the seed, the number and its count of calls, not on the order of calls."""
        digest = hashlib.sha256(f"{self._seed}:{to}:{self._call_counts[to]}".encode()).hexdigest()
        self._call_counts[to] += 1
        return f"CA{digest[:32]}"

    async def _wait_for_dial(self) -> int:
        """Waits until the account's rate limit allows the next dial. Returns the simulated milliseconds waited."""
        now = asyncio.get_running_loop().time()
        dial_at = max(now, self._next_dial_at)
        self._next_dial_at = dial_at + self._dial_interval
        await asyncio.sleep(dial_at - now)
        return round((dial_at - now) * self._speed * 1000)
