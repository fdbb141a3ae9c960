"""Dials attempts, each at most once (law 4).

Theory. The provider has no idempotency key. A request that is sent twice may ring twice, and a request whose answer is
lost may have been carried out. So an attempt goes through four phases:

1. Claim. `dial.claimed` is appended by compare-and-set on the call's last claim, before any request is sent. One
   process alone gets the claim, and only that process may send the request. So the first delivery of an order reads
   nothing before its claim: its guard fails if the attempt was claimed before.
2. Request. One request is sent. It is repeated after HTTP 429 only, which is documented as never processed, and only
   within `REQUEST_WINDOW_SECONDS`.
3. Outcome. `dial.placed` if the provider accepted the call. `dial.refused` if the attempt certainly did not reach the
   network. `dial.unknown` in all other cases: no answer, a 5xx, a process that died after its claim.
4. Settlement. An unknown attempt is never dialled again. The provider's callbacks name it, or `settlement` looks it up
   when its deadline has passed.

A hang-up or a settlement can end an attempt that has no claim. It appends the claim itself, so no process can dial the
attempt afterwards. The process with the claim reads the call once more before its request. A hang-up that was requested
before this read is seen by it; one that is requested later finds the claim, and closes the line. A process that dies
between claim and request costs one call that was never made; that is preferred to ringing twice (docs/adr/0004).

Before its claim, an attempt passes the gate (`dial_gate`) and gets a permit (`rate_limiter`).

An order is valid for `MAX_ORDER_SECONDS` after the decision that gave it, and not after the end of the calling hours,
which it names. The decision asked the calling policy, the do-not-call lists and the campaign, and each of them may give
another answer later. A later attempt is refused as undialled, so the orchestrator puts it off, and asks them again at
its next grant.
"""

import asyncio
import random

import structlog

from chassis.event_log import EventLog
from contracts import (
    CallStatus,
    CallStatusChanged,
    ConversationMode,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Envelope,
)
from contracts.call import Call
from contracts.transfers import MAX_TRANSFER_SECONDS
from telephony.dial_failures import DialFailed, FailureClass
from voice.application.call_state import load_call
from voice.application.speech.prepared_clips import PreparedClips, greeting_sentence
from voice.application.telephony.attempts import (
    CALLED_OFF,
    MAX_PENDING_SECONDS,
    REQUEST_WINDOW_SECONDS,
    AttemptInProgress,
    claim_attempt,
    is_claimed,
    load_attempt,
)
from voice.application.telephony.dial_gate import DialGate
from voice.application.telephony.rate_limiter import DialRateLimiter
from voice.metrics import DIALS
from voice.ports import DialOrder, Telephony

MAX_PAUSE_SECONDS = 8.0
MAX_ORDER_SECONDS = 20.0
"""No request begins later than this after the decision to dial.

Longer than the `ack_wait` of the orders, so that another replica dials if one dies before its claim, and than a
cool-down of the breaker. Shorter than the shortest deadline of an attempt, which is 25 s.
"""
MAX_CALL_SECONDS = 14_400
"""The longest time that a call may last by its terms, and with a transfer."""
TOO_LATE = "the order to dial it came too late"

Outcome = DialPlaced | DialRefused | DialUnknown

logger = structlog.get_logger()


class Dialing:
    """Dials the attempts that the orchestrator begins.

    `gate` and `rate_limiter` are optional; without them an attempt is dialled at once. `live_clips`: those of live
    calls, which have another format; none: this installation has no media streams.
    """

    def __init__(
        self,
        calls: EventLog,
        telephony: Telephony,
        clips: PreparedClips,
        *,
        live_clips: PreparedClips | None = None,
        gate: DialGate | None = None,
        rate_limiter: DialRateLimiter | None = None,
        request_window_seconds: float = REQUEST_WINDOW_SECONDS,
        max_pending_seconds: float = MAX_PENDING_SECONDS,
    ) -> None:
        self._calls = calls
        self._telephony = telephony
        self._clips = clips
        self._live_clips = live_clips
        self._gate = gate
        self._rate_limiter = rate_limiter
        self._request_window_seconds = request_window_seconds
        self._max_pending_seconds = max_pending_seconds

    async def dial(self, event: CallStatusChanged, cause: Envelope, *, is_redelivered: bool = False) -> None:
        """Dials the attempt that `event` began.

        Idempotent: only the process that appends the claim sends a request. Any other delivery, also after a crash,
        finds the claim and at most records that the outcome is unknown. Raises AttemptInProgress while another
        process may be dialling, and ServiceStopping. With `is_redelivered`, the order may be out of date: the state of
        its attempt is read before it waits for anything. An order that is too old waits for nothing, and dials nothing.
        """
        call_id, attempt = event.call.call_id, event.attempt
        if is_redelivered and not _is_dialing(await load_call(self._calls, call_id), attempt):
            return
        if self._seconds_left(event.call) <= 0:
            await self._dial_once(event.call, attempt, cause, may_be_claimed=is_redelivered)
            return
        if clips := self._clips_for(event.call):
            await clips.prepare(greeting_sentence(event.call, attempt, cause))
        if self._gate is None or (is_redelivered and await is_claimed(self._calls, call_id, attempt)):
            await self._dial_once(event.call, attempt, cause, may_be_claimed=is_redelivered)
            return
        async with self._gate.enter() as has_waited:
            await self._dial_once(event.call, attempt, cause, may_be_claimed=is_redelivered or has_waited)

    def _clips_for(self, call: Call) -> PreparedClips | None:
        """Returns the clips to which the greeting belongs; none if the telephone provider speaks it."""
        if self._live_clips is None or call.mode is ConversationMode.TURN_BASED:
            return self._clips
        return self._live_clips if call.mode is ConversationMode.LIVE else None

    async def _dial_once(self, call: Call, attempt: int, cause: Envelope, *, may_be_claimed: bool) -> None:
        """Dials the attempt of an order, whose call is `call`, if it gets the claim."""
        call_id = call.call_id
        # An attempt that was claimed meanwhile, or that comes too late, must not use up a permit.
        if self._rate_limiter and not (
            self._seconds_left(call) <= 0 or (may_be_claimed and await is_claimed(self._calls, call_id, attempt))
        ):
            await self._rate_limiter.acquire(call_id, attempt, cause)
        last_request_at = asyncio.get_running_loop().time() + self._request_window_seconds
        if not await claim_attempt(self._calls, call, attempt, cause):
            await self._check_existing_claim(call, attempt, cause)
            return
        outcome = await self._dial_claimed(call, attempt, last_request_at)
        await self._calls.append(outcome, cause=cause)
        logger.info("attempt_dialled", outcome=outcome.event_name, attempt=attempt)

    async def _dial_claimed(self, ordered: Call, attempt: int, last_request_at: float) -> Outcome:
        # The call is loaded again: only after the claim is it certain that no other process dials a canceled call.
        call_id = ordered.call_id
        call = await load_call(self._calls, call_id)
        if call is None or not _is_dialing(call, attempt) or call.hangup_reason is not None:
            DIALS.labels(outcome="called_off").inc()
            return DialRefused(call_id=call_id, attempt=attempt, is_permanent=False, reason=CALLED_OFF)
        seconds_left = self._seconds_left(ordered)
        if seconds_left <= 0:
            DIALS.labels(outcome="too_late").inc()
            return DialRefused(call_id=call_id, attempt=attempt, is_permanent=False, reason=TOO_LATE)
        last_request_at = min(last_request_at, asyncio.get_running_loop().time() + seconds_left)
        order = DialOrder(
            call_id, attempt, call.phone_number, call.call_timeout_seconds, _max_seconds(call), call.caller_id
        )
        return await self._send_request(order, last_request_at)

    def _seconds_left(self, ordered: Call) -> float:
        """Returns how long the order is valid; 0 or less if it is not.

        Asks the call of the order: a later event of the attempt does not repeat its permission. With a simulated clock,
        which is ahead, an order stays valid.
        """
        if ordered.dialed_at is None:
            return -1.0
        now = self._calls.now()
        until = ordered.permission.until if ordered.permission else None
        seconds_left = MAX_ORDER_SECONDS - (now - ordered.dialed_at).total_seconds()
        return min(seconds_left, (until - now).total_seconds()) if until else seconds_left

    async def _send_request(self, order: DialOrder, last_request_at: float) -> Outcome:
        """Sends the request, again after each 429, and returns the outcome."""
        clock = asyncio.get_running_loop().time
        pause_seconds = 1.0
        while clock() <= last_request_at:
            try:
                provider_call_id = await self._telephony.dial(order)
            except DialFailed as error:
                wait_seconds = max(error.retry_after_seconds or 0.0, pause_seconds * random.uniform(0.75, 1.25))
                if error.failure is not FailureClass.RATE_LIMITED or clock() + wait_seconds > last_request_at:
                    return _failed(order, error)
                await asyncio.sleep(wait_seconds)
                pause_seconds = min(pause_seconds * 2, MAX_PAUSE_SECONDS)
            else:
                DIALS.labels(outcome="placed").inc()
                return DialPlaced(
                    call_id=order.call_id,
                    attempt=order.attempt,
                    provider=self._telephony.provider,
                    provider_call_id=provider_call_id,
                )
        return _failed(order, DialFailed(FailureClass.TRANSIENT, "the time to dial it had passed"))

    async def _check_existing_claim(self, call: Call, attempt: int, cause: Envelope) -> None:
        """Records an unknown outcome if the process that claimed the attempt did not record any."""
        call_id, granted_sequence = call.call_id, call.granted_sequence
        existing = await load_attempt(self._calls, call_id, attempt, granted_sequence=granted_sequence)
        if existing.claim is None or existing.has_outcome:
            return
        if existing.may_be_in_progress(self._calls.now(), self._max_pending_seconds):
            raise AttemptInProgress
        unknown = DialUnknown(call_id=call_id, attempt=attempt, reason="claimed before, no answer recorded")
        await self._calls.append(unknown, cause=cause, event_id=f"{existing.claim.envelope.id}/unknown")
        DIALS.labels(outcome=FailureClass.UNKNOWN).inc()


def _max_seconds(call: Call) -> int:
    """Returns how long the provider lets the call last: longer if the agent may transfer the callee to a person."""
    transfer_seconds = MAX_TRANSFER_SECONDS if call.has_tools else 0
    return min(call.max_call_seconds + transfer_seconds, MAX_CALL_SECONDS)


def _is_dialing(call: Call | None, attempt: int) -> bool:
    return call is not None and call.status is CallStatus.DIALING and call.attempt == attempt


def _failed(order: DialOrder, error: DialFailed) -> Outcome:
    DIALS.labels(outcome=error.failure).inc()
    if error.failure is FailureClass.UNKNOWN:
        return DialUnknown(call_id=order.call_id, attempt=order.attempt, reason=error.reason)
    return DialRefused(
        call_id=order.call_id,
        attempt=order.attempt,
        is_permanent=error.failure.is_permanent,
        reason=error.reason,
        code=error.code,
    )
