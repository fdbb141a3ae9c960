"""Dead letters: reading them, and publishing their messages again.

A message that is published again goes to every consumer of its subject, not only to the one that failed. That is
harmless, because each consumer is idempotent (law 6). The message keeps its identity (``ce-id``), by which consumers
recognise what they have handled. Its ``Nats-Msg-Id`` names the dead letter, because the server would drop the original
id as a duplicate. Thus a second retry of the same dead letter is not stored again.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from centralita.replay.messages import Message, stores_subject
from centralita.replay.scope import call_of
from chassis.event_log import EventLog, UnreadableEvent
from chassis.stream_reader import last_sequence, read
from contracts import Service
from contracts.dead_letters import DeadLetter
from contracts.streams import CALLS, DEAD_LETTERS, call_state_filter


class CannotRetry(RuntimeError):
    """The message was not published again and the dead letter was kept. The message of the error names the reason."""


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter, its sequence in DEAD_LETTERS, and when it was stored."""

    sequence: int
    at: datetime
    dead_letter: DeadLetter

    @property
    def message(self) -> Message:
        """The message that could not be processed."""
        dead = self.dead_letter
        body = dead.body.encode() if dead.body is not None else dead.body_base64 or b""
        return Message(dead.stream, dead.sequence, self.at, dead.subject, dead.headers, body)


async def read_dead_letters(client: Client) -> AsyncIterator[StoredDeadLetter]:
    """Yields all dead letters, the oldest first. Raises NotFoundError if the stream does not exist."""
    end = await last_sequence(client, DEAD_LETTERS.name)
    async for message in read(client, DEAD_LETTERS.name, end_sequence=end):
        yield _stored(message)


async def find_dead_letter(client: Client, sequence: int) -> StoredDeadLetter:
    """Returns the dead letter at a sequence. Raises CannotRetry if there is none."""
    try:
        async for message in read(client, DEAD_LETTERS.name, start_sequence=sequence, end_sequence=sequence):
            return _stored(message)
    except NotFoundError:
        pass
    raise CannotRetry(f"there is no dead letter {sequence}; `centralita dead-letters list` shows all of them")


async def retry(client: Client, stored: StoredDeadLetter, *, force: bool = False) -> int:
    """Publishes the message again, deletes the dead letter once it is stored, and returns its new sequence.

    Raises CannotRetry. Without `force`, this includes an input on which the log already contains a decision: a
    ``call.retry_requested`` that is executed twice would dial a person twice.
    """
    message = stored.message
    if stored.dead_letter.consumer == Service.CAMPAIGN_STATS:
        raise CannotRetry(
            f"dead letter {stored.sequence}: campaign-stats left out this event, which is still in the log; a second "
            "copy there would change the call. Upgrade campaign-stats, then `centralita replay rebuild`"
        )
    if not stores_subject(message.stream, message.subject):
        raise CannotRetry(f"dead letter {stored.sequence}: no stream stores the subject {message.subject} any more")
    if not force and await _was_decided(client, message):
        raise CannotRetry(
            f"dead letter {stored.sequence}: the log contains the decision on it already; --force sends it anyway"
        )
    own = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    headers = {**own, "ce-id": message.identity, "Nats-Msg-Id": f"{DEAD_LETTERS.name}/{stored.sequence}"}
    js = client.jetstream()
    ack = await js.publish(message.subject, message.body, headers=headers)
    await js.delete_msg(DEAD_LETTERS.name, stored.sequence)
    return ack.seq


def _stored(message: Msg) -> StoredDeadLetter:
    metadata = message.metadata
    dead_letter = DeadLetter.model_validate_json(message.data)
    return StoredDeadLetter(metadata.sequence.stream, metadata.timestamp, dead_letter)


async def _was_decided(client: Client, message: Message) -> bool:
    call_id = call_of(message)
    if not call_id:
        return False
    try:
        events = await EventLog(client, CALLS.name, source="dead-letters").read([call_state_filter(call_id)])
    except UnreadableEvent as error:
        raise CannotRetry(f"{error}; run `centralita` of the newest build, or give --force") from error
    return any(stored.envelope.causation_id == message.identity for stored in events)
