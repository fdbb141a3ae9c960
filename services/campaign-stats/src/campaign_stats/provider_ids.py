"""The telephone provider's ids of a call's attempts, from the events that carry them.

Pure. An attempt whose dial the provider did not answer has an id only if it is looked up. If callbacks settle it, it
has none here: they carry the id, too, but they are four or more further events of every attempt.
"""

from pydantic import BaseModel, ConfigDict

from contracts import DialLookedUp, DialPlaced, Event


class DialledCall(BaseModel):
    """What is known of the attempts of a call at the telephone provider."""

    model_config = ConfigDict(frozen=True)

    provider_call_ids: tuple[str, ...] = ()
    """Each id once, in the order of the log; none in documents of older builds."""


def provider_id_changes(document: DialledCall, event: Event) -> dict[str, object]:
    """Returns the changed field, or nothing. An event of an earlier attempt counts, too."""
    identity = event.provider_call_id if isinstance(event, DialPlaced | DialLookedUp) else None
    if identity is None or identity in document.provider_call_ids:
        return {}
    return {"provider_call_ids": (*document.provider_call_ids, identity)}
