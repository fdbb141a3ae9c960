"""Dead letters: reading the messages to which they refer, publishing these again, and dropping dead letters.

The command line and the process of dead letters (`chassis.dead_letter_service`) both use these functions.

A message that is published again goes to every consumer of its subject, not only to the one that failed. That is
harmless, because each consumer is idempotent (law 6). The message keeps its identity (``ce-id``), by which consumers
recognise what they have handled. Its ``Nats-Msg-Id`` names the dead letter, because the server would drop the original
id as a duplicate. Thus a second retry of the same dead letter is not stored again. A command for a do-not-call list
also keeps the time at which it was first stored, so it undoes no later change. One that removes a number is not
published without `force`: an import may have left the number out since, because it was listed.
"""

import base64
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from chassis.dead_letters import StoredDeadLetter
from chassis.deletion import erase_message
from chassis.direct_get import StoredMessage
from chassis.event_log import EventLog, UnreadableEvent, size_of
from chassis.keyring import Keyring
from chassis.sealed_copies import OpenedCopy, SealedCopy, open_copy
from chassis.stream_api import jetstream_of
from chassis.subject_filters import matcher
from contracts import ErasedRequest, NumberUnblockRequested, RequestsErased, Service
from contracts.consumers import CONSUMERS
from contracts.envelope import FIRST_STORED_HEADER, first_stored_at
from contracts.events.numbers import is_number_command
from contracts.filters import call_of_message, call_state_filter
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS
from contracts.vocabulary import RequestResult

_SOURCE = "dead-letters"
_is_consumed = matcher([subject for consumer in CONSUMERS for subject in consumer.filters])
_is_stored = {stream.name: matcher(stream.subjects) for stream in (REQUESTS, CALLS)}


class UnknownDeadLetter(LookupError):
    """There is no dead letter with this number."""


class SealedMessage(RuntimeError):
    """The copy of a message cannot be opened. The message of the error names the reason and the remedy."""


class CannotRetry(RuntimeError):
    """The message was not published again and the dead letter was kept. The message of the error names the reason."""


async def find_dead_letter(client: Client, sequence: int) -> StoredDeadLetter:
    """Returns the dead letter at a sequence. Raises UnknownDeadLetter."""
    try:
        found = await jetstream_of(client, DEAD_LETTERS.name).get_msg(DEAD_LETTERS.name, sequence)
    except NotFoundError as error:
        raise UnknownDeadLetter(
            f"there is no dead letter {sequence}; `centralita dead-letters list` shows all of them"
        ) from error
    return StoredDeadLetter.read(sequence, _time(found), _headers(found), found.data or b"")


async def message_of(client: Client, stored: StoredDeadLetter, keyring: Keyring | None = None) -> StoredMessage | None:
    """Returns the message of a dead letter: its copy, or else from the leader of its stream; None if it is not there.

    `keyring` opens a sealed copy. Raises SealedMessage if it cannot.
    """
    dead = stored.dead_letter
    if stored.copy:
        opened = await _opened(stored, stored.copy, keyring)
        return _message(stored, opened.subject, opened.headers, opened.body)
    if dead.headers is not None:
        body = dead.body.encode() if dead.body is not None else dead.body_base64 or b""
        return _message(stored, dead.subject, dead.headers, body)
    try:
        found = await jetstream_of(client, dead.stream).get_msg(dead.stream, dead.sequence)
    except NotFoundError:
        return None
    message = _message(stored, found.subject or "", _headers(found), found.data or b"")
    message.time = _time(found)
    return message


def _message(stored: StoredDeadLetter, subject: str, headers: dict[str, str], body: bytes) -> StoredMessage:
    dead = stored.dead_letter
    return StoredMessage(
        subject=subject, seq=dead.sequence, data=body, headers=headers, stream=dead.stream, time=stored.at
    )


def identity_of(message: StoredMessage) -> str:
    """Returns the id by which services know the message; ``<stream>/<sequence>`` if its sender set none."""
    return message.headers.get("ce-id") or message.headers.get("Nats-Msg-Id") or f"{message.stream}/{message.seq}"


async def _opened(stored: StoredDeadLetter, copy: SealedCopy, keyring: Keyring | None) -> OpenedCopy:
    if keyring is None:
        raise SealedMessage("its message is sealed. Set MASTER_KEY to that of the services")
    opened = await open_copy(copy, keyring)
    if opened is None:
        raise SealedMessage(
            "its message can no longer be read: the key was destroyed after DEAD_LETTER_RETENTION_DAYS. "
            f"`centralita dead-letters drop {stored.sequence}` removes the dead letter"
        )
    return opened


async def retry(
    client: Client, stored: StoredDeadLetter, *, force: bool = False, keyring: Keyring | None = None
) -> int:
    """Publishes the message again, erases the dead letter once it is stored, and returns its new sequence.

    The former message is erased, too, if it is a request that was not decided. `keyring`: as for `message_of`.

    Raises CannotRetry. Without `force`, this includes an input on which the log already contains a decision: a
    ``call.retry_requested`` that is executed twice would dial a person twice.
    """
    if stored.dead_letter.consumer == Service.CAMPAIGN_STATS:
        raise CannotRetry(
            f"dead letter {stored.sequence}: campaign-stats left out this event, which is still in the log; a second "
            "copy there would change the call. Upgrade campaign-stats, run `centralita replay rebuild`, then "
            f"`centralita dead-letters drop {stored.sequence}`"
        )
    try:
        message = await message_of(client, stored, keyring)
    except SealedMessage as error:
        raise CannotRetry(f"dead letter {stored.sequence}: {error}") from error
    if message is None:
        raise CannotRetry(f"dead letter {stored.sequence}: {missing(stored)}")
    if message.stream not in _is_stored or not _is_stored[message.stream](message.subject):
        raise CannotRetry(f"dead letter {stored.sequence}: no stream stores the subject {message.subject} any more")
    if not _is_consumed(message.subject):
        raise CannotRetry(f"dead letter {stored.sequence}: no consumer reads the subject {message.subject} any more")
    if not force and message.subject.startswith(f"{NumberUnblockRequested.event_name}."):
        raise CannotRetry(
            f"dead letter {stored.sequence}: it removes a number from a do-not-call list, on which it may have been "
            f"put again. Use `centralita do-not-call remove`, then `centralita dead-letters drop {stored.sequence}`"
        )
    was_decided = await (_may_be_decided if force else _was_decided)(client, message)
    if not force and was_decided:
        raise CannotRetry(
            f"dead letter {stored.sequence}: the log contains the decision on it already; "
            f"`centralita dead-letters retry {stored.sequence} --force` sends it anyway"
        )
    sequence = await _publish(client, stored, message)
    if not was_decided:
        await _erase_request(client, stored, message, RequestResult.RESENT)
    await erase_message(client, DEAD_LETTERS.name, stored.sequence)
    return sequence


async def _publish(client: Client, stored: StoredDeadLetter, message: StoredMessage) -> int:
    own = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    if is_number_command(message.subject):
        own[FIRST_STORED_HEADER] = first_stored_at(message.headers, message.time).isoformat()
    headers = {**own, "ce-id": identity_of(message), "Nats-Msg-Id": f"{DEAD_LETTERS.name}/{stored.sequence}"}
    if (size := size_of(message.data, headers)) > client.max_payload:
        raise CannotRetry(
            f"dead letter {stored.sequence}: its headers and body have {size} bytes, and the server accepts "
            f"{client.max_payload}. Raise max_payload of nats-server, or drop the dead letter"
        )
    return (await client.jetstream().publish(message.subject, message.data, headers=headers)).seq


async def drop(client: Client, sequence: int) -> None:
    """Erases a dead letter, and its request unless that was decided. An event of the log stays in it.

    Raises UnknownDeadLetter.
    """
    stored = await find_dead_letter(client, sequence)
    message = await message_of(client, stored) if stored.is_reference else None
    if message and not await _may_be_decided(client, message):
        await _erase_request(client, stored, message, RequestResult.DROPPED)
    await erase_message(client, DEAD_LETTERS.name, sequence)


async def _erase_request(
    client: Client, stored: StoredDeadLetter, message: StoredMessage, result: RequestResult
) -> None:
    """Erases the request to which a dead letter refers. The log shows what became of it (ADR 49)."""
    if not stored.is_reference or message.stream != REQUESTS.name:
        return
    log = EventLog(client, CALLS.name, source=_SOURCE)
    record = ErasedRequest(sequence=message.seq, result=result)
    await log.append(RequestsErased(requests=(record,), erased_at=log.now()))
    await erase_message(client, REQUESTS.name, message.seq)


def missing(stored: StoredDeadLetter) -> str:
    """Returns the sentence for a dead letter whose message is no longer in its stream."""
    dead = stored.dead_letter
    return (
        f"message {dead.sequence} of {dead.stream} no longer exists; `centralita dead-letters drop {stored.sequence}` "
        "removes the dead letter"
    )


def _time(message: RawStreamMsg) -> datetime:
    return message.time or datetime.fromtimestamp(0, UTC)


def _headers(message: RawStreamMsg) -> dict[str, str]:
    """Returns the headers as text. nats-py reads them as those of an e-mail, and replaces what is not ASCII."""
    lines = base64.b64decode(message.hdrs or b"").decode(errors="replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name: value.strip() for name, _, value in pairs}


async def _may_be_decided(client: Client, message: StoredMessage) -> bool:
    try:
        return await _was_decided(client, message)
    except CannotRetry:  # a newer build wrote an event of the call
        return True


async def _was_decided(client: Client, message: StoredMessage) -> bool:
    call_id = call_of_message(message.subject, message.data, identity_of(message))
    if not call_id:
        return False
    try:
        events = await EventLog(client, CALLS.name, source=_SOURCE).read([call_state_filter(call_id)])
    except UnreadableEvent as error:
        remedy = "run `centralita dead-letters retry` of the newest build, or with --force"
        raise CannotRetry(f"{error}; {remedy}") from error
    return any(stored.envelope.causation_id == identity_of(message) for stored in events)
