"""The exchange: takes creates, keeps the calls that live, and everything that is asked about them."""

import asyncio
import hashlib
from collections.abc import Mapping

from starlette.datastructures import FormData

from simulators.twilio.background_tasks import Tasks
from simulators.twilio.call import Call
from simulators.twilio.call_clock import CallClock
from simulators.twilio.call_lifecycle import CallLife
from simulators.twilio.callees import Behaviour, Population
from simulators.twilio.create_parameters import CreateParameters, Refused, read_create
from simulators.twilio.ledger import CallEntry, ErrorEntry, Ledger, Refusal
from simulators.twilio.status_callbacks import CallbackFaults, StatusCallbacks
from simulators.twilio.twiml_session import Fetch
from simulators.twilio.webhooks import Webhooks


class Exchange:
    """One account's telephone exchange. `speed` divides nominal time; `calls_per_second` is nominal."""

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        seed: int,
        speed: float,
        behaviours: Mapping[str, float] | None,
        calls_per_second: float,
    ) -> None:
        self.account_sid = account_sid
        self.population = Population(seed, behaviours)
        self.ledger = Ledger()
        self.callback_faults = CallbackFaults()
        self._seed, self._speed = seed, speed
        self._interval = 1.0 / (calls_per_second * speed)
        self._next_turn = 0.0
        self._webhooks = Webhooks(auth_token)
        self._tasks = Tasks()
        self._lives: dict[str, CallLife] = {}

    @property
    def calls(self) -> list[Call]:
        """Every call since the last reset, the newest first (the order of Twilio's lists)."""
        return [life.call for life in reversed(self._lives.values())]

    def dial(self, form: FormData) -> Call:
        """Accept a create and let the call live. Raises Refused."""
        try:
            call = self._accept(read_create(form))
        except Refused as refused:
            self.ledger.refused.append(Refusal(str(form.get("To", "")), refused.code))
            raise
        callbacks = StatusCallbacks(call, self._webhooks, self._tasks.spawn, lambda: self.callback_faults, self._seed)
        life = CallLife(call, self._webhooks, callbacks, self._tasks, self._turn)
        self.ledger.calls.append(call.entry)
        self._lives[call.sid] = life
        self._tasks.spawn(life.run())
        return call

    def find(self, sid: str) -> Call | None:
        """The call of this SID, if there is one."""
        life = self._lives.get(sid)
        return None if life is None else life.call

    async def hang_up(self, call: Call, status: str) -> None:
        """Update a call to `completed` or `canceled`. Raises Refused (21220) if it is over.

        `canceled` leaves a call in progress alone. A call that nobody has answered yet ends `canceled`
        either way (a reading: Twilio's documents name no status for `completed` before the answer).
        """
        if call.is_over:
            raise Refused(21220, "Unable to update record. Call is not in-progress. Cannot redirect.")
        if call.entry.status != "in-progress":
            await self._lives[call.sid].hang_up("canceled")
        elif status == "completed":
            await self._lives[call.sid].hang_up("completed")

    async def redirect(self, call: Call, url: str | None, method: str, twiml: str) -> None:
        """Make a call in progress go on with another document. Raises Refused (21220) if it is not."""
        if call.entry.status != "in-progress":
            raise Refused(21220, "Unable to update record. Call is not in-progress. Cannot redirect.")
        await self._lives[call.sid].redirect(twiml if url is None else Fetch("redirect", url, method))

    async def reset(self) -> None:
        """Forget every call, living or not, and everything that was set."""
        await self._tasks.cancel_all()
        self._lives.clear()
        self.ledger.clear()
        self.population.reset()
        self.callback_faults = CallbackFaults()
        self._next_turn = 0.0

    async def aclose(self) -> None:
        """Stop all calls where they are."""
        await self._tasks.cancel_all()
        await self._webhooks.aclose()

    def _accept(self, parameters: CreateParameters) -> Call:
        callee = self.population.dial(parameters.to)
        if callee.behaviour is Behaviour.REFUSED:
            raise Refused(21211, "The 'To' number is not a valid phone number.")
        entry = CallEntry(
            sid=self._sid(parameters.to),
            to=parameters.to,
            from_=parameters.from_,
            url=parameters.url,
            behaviour=callee.behaviour,
        )
        for event in sorted(parameters.unknown_events):
            entry.errors.append(ErrorEntry(21626, f"unknown StatusCallbackEvent {event!r}"))
        clock = CallClock(self._speed, time_limit=parameters.time_limit, patience=callee.patience)
        return Call(self.account_sid, entry, parameters, callee, clock)

    def _sid(self, to: str) -> str:
        """A SID that depends on the seed, the number and how often it was dialled, not on the order."""
        nth = sum(1 for call in self.ledger.calls if call.to == to)
        digest = hashlib.sha256(f"{self._seed}:{to}:{nth}".encode()).hexdigest()
        return f"CA{digest[:32]}"

    async def _turn(self) -> int:
        """Wait for this call's turn at the account's pace. Returns the nominal milliseconds waited."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_turn)
        self._next_turn = turn + self._interval
        await asyncio.sleep(turn - now)
        return round((turn - now) * self._speed * 1000)
