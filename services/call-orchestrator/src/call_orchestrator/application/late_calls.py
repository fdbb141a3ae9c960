"""Erases a person again whose call was stored while an erasure destroyed the key.

A replica may read the state of the number before an erasure begins, and store the new call, or its change to this
number, after the key is destroyed. The event makes a new key then. The call is never dialled, because its grant finds
`erased_at`. But it may have no timer yet, so the erasure does not find it, and is certified.

So the end of such a call commands the erasure of the person again. It is one that can still be read, although it has
had its number since before the erasure: what was stored before the key was destroyed cannot be read.
"""

from call_orchestrator.domain.dial_times import ERASED_PERSON
from call_orchestrator.ports import Log, PersonCommands
from contracts import Call, Envelope, ErasureReason, NumberState, PersonErased, PersonEraseRequested
from contracts.personal import PLACEHOLDERS


class LateCalls:
    """Commands the erasure of persons again."""

    def __init__(self, log: Log, commands: PersonCommands) -> None:
        self._log = log
        self._commands = commands

    async def note_end(self, number: NumberState, call: Call, cause: Envelope) -> None:
        """Commands the erasure if the call, which needs its number no more, was stored too late.

        The calls that an erasure cancels end before it is certified, and while they can be read. They need no other
        erasure. A grant that is refused for the erasure does: it may be carried out just before the certificate.

        The command has an id that follows from the cause. A repetition after the erasure finds nothing to read.
        """
        is_earlier = number.erased_at is not None and call.number_given_at <= number.erased_at
        if not is_earlier or call.phone_number in PLACEHOLDERS:
            return
        last = await self._log.last(PersonErased.subject_for(number.number_digest))
        certificate = last.event if last and isinstance(last.event, PersonErased) else None
        is_certified = certificate and number.erased_at and certificate.requested_at >= number.erased_at
        if is_certified or (call.permission and call.permission.rule == ERASED_PERSON):
            reason = certificate.reason if certificate else ErasureReason.REQUEST
            await self._commands.erase(
                PersonEraseRequested(number_digest=number.number_digest, reason=reason), cause=cause
            )
