"""Opens sealed messages."""

from collections.abc import Mapping

from chassis.keyring import Keyring
from contracts import Event, decode
from contracts.personal import PERSON_HEADER


async def opened(subject: str, body: bytes, headers: Mapping[str, str] | None, keyring: Keyring) -> Event:
    """Returns the event of a message, as a service with keys reads it."""
    if (person := (headers or {}).get(PERSON_HEADER)) is None:
        return decode(subject, body)
    await keyring.load([person])
    return decode(subject, body, keyring.opener(person, ".".join(subject.split(".")[:2])))
