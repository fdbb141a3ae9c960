"""One dead letter and its message, as an operator may see it before it is resent or dropped."""

from uuid import UUID

from nats.aio.client import Client
from pydantic_core import from_json

from chassis.dead_letter_acts import (
    SealedMessage,
    UnknownDeadLetter,
    find_dead_letter,
    identity_of,
    message_of,
    missing,
)
from chassis.dead_letter_list import listed_of
from chassis.dead_letters import StoredDeadLetter
from chassis.direct_get import StoredMessage
from chassis.keyring import Keyring
from contracts.dead_letter_queries import DeadLetterDetails, MaskedMessage
from contracts.filters import call_of_message
from contracts.masked import masked
from contracts.personal import json_and_sealed

MAX_ID_LENGTH = 100


async def show_dead_letter(client: Client, keyring: Keyring, sequence: int) -> DeadLetterDetails:
    """Returns a dead letter, and its message without personal data or why there is none. It publishes nothing."""
    try:
        stored = await find_dead_letter(client, sequence)
    except UnknownDeadLetter as error:
        return DeadLetterDetails(dead_letter=None, reason=str(error))
    listed = listed_of(stored)
    try:
        message = await message_of(client, stored, keyring)
    except SealedMessage as error:
        return DeadLetterDetails(dead_letter=listed, reason=str(error))
    if message is None:
        return DeadLetterDetails(dead_letter=listed, reason=missing(stored))
    return DeadLetterDetails(dead_letter=listed, call_id=_call_id_of(message), message=_masked(message))


async def find_call_id(client: Client, keyring: Keyring, stored: StoredDeadLetter) -> UUID | None:
    """Returns the id of the call that the message of a dead letter is about, if it can be read and names one."""
    try:
        message = await message_of(client, stored, keyring)
    except SealedMessage:
        return None
    return _call_id_of(message) if message else None


def _masked(message: StoredMessage) -> MaskedMessage:
    text, sealed = json_and_sealed(message.data)
    try:
        body = masked(message.subject, from_json(text))
    except (ValueError, RecursionError):
        body = None
    return MaskedMessage(
        message_id=identity_of(message)[:MAX_ID_LENGTH],
        size_bytes=len(message.data),
        is_sealed=sealed is not None,
        body=body,
    )


def _call_id_of(message: StoredMessage) -> UUID | None:
    """Returns the id of the call that a message is about; a sender may have chosen another text in its place."""
    try:
        return UUID(call_of_message(message.subject, message.data, identity_of(message)) or "")
    except ValueError:
        return None
