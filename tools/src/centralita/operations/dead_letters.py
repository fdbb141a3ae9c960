"""Dead letters: messages that a consumer gave up on, as they stand in their stream, and sending one again.

A letter that is sent again goes to every consumer of its subject, not only to the one that gave up on it; that is
harmless, since each is idempotent (law 6). It keeps its identity (``ce-id``), so that what followed from it is known to
have followed; ``Nats-Msg-Id`` is the letter's, for the server would drop a repetition, and so that sending the same
letter twice in a row stores it once.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from centralita.replay.messages import Message, belongs
from centralita.replay.reading import last_sequence, read
from centralita.replay.scope import call_of
from chassis.event_log import EventLog
from contracts.dead_letters import DeadLetter
from contracts.streams import CALLS, DEAD_LETTERS, call_state_filter

_NOT_AGAIN = ("nats-", "reply_to")
"""The server's own headers, and the inbox of somebody who waits no longer."""


class CannotRetry(RuntimeError):
    """The letter stays where it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and where and when it was put down."""

    sequence: int
    at: datetime
    letter: DeadLetter

    @property
    def message(self) -> Message:
        """The message as it was."""
        dead = self.letter
        body = dead.body.encode() if dead.body is not None else dead.body_base64 or b""
        return Message(dead.stream, dead.sequence, self.at, dead.subject, dead.headers, body)


async def letters(client: Client) -> AsyncIterator[Letter]:
    """All of them, the oldest first. Raises NotFoundError if there is no such stream."""
    upto = await last_sequence(client, DEAD_LETTERS.name)
    async for message in read(client, DEAD_LETTERS.name, upto=upto):
        yield Letter(message.sequence, message.time, DeadLetter.model_validate_json(message.body))


async def find(client: Client, sequence: int) -> Letter:
    """Raises CannotRetry if there is no such letter."""
    try:
        async for message in read(client, DEAD_LETTERS.name, start=sequence, upto=sequence):
            return Letter(message.sequence, message.time, DeadLetter.model_validate_json(message.body))
    except NotFoundError:
        pass
    raise CannotRetry(f"there is no dead letter {sequence}")


async def retry(client: Client, letter: Letter, *, force: bool = False) -> int:
    """Publishes the message again and deletes the letter once it is stored; returns its new sequence.

    Raises CannotRetry, also (unless `force`) for an input that the call's log says has been decided: a retry of a call
    that is obeyed twice would ring a person twice.
    """
    message = letter.message
    if not belongs(message.stream, message.subject):
        raise CannotRetry(f"{message.subject} is on no stream any more")
    if not force and await _was_decided(client, message):
        raise CannotRetry(f"letter {letter.sequence}: its decision is in the log; --force to send it all the same")
    kept = {name: value for name, value in message.headers.items() if not name.lower().startswith(_NOT_AGAIN)}
    headers = {**kept, "ce-id": message.identity, "Nats-Msg-Id": f"{DEAD_LETTERS.name}/{letter.sequence}"}
    js = client.jetstream()
    ack = await js.publish(message.subject, message.body, headers=headers)
    await js.delete_msg(DEAD_LETTERS.name, letter.sequence)
    return ack.seq


async def _was_decided(client: Client, message: Message) -> bool:
    call_id = call_of(message)
    events = (
        await EventLog(client, CALLS.name, source="dead-letters").read([call_state_filter(call_id)]) if call_id else []
    )
    return any(recorded.envelope.causation_id == message.identity for recorded in events)
