"""Checks that no contact is lost or called twice, and that none waits which could be called."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tests.unit.call_orchestrator.campaign_property.oracle import (
    CROSSING,
    KNOWN_LATE,
    Oracle,
    instants,
    is_open,
    is_permitted,
    require,
    terms_of,
)

from chassis.event_log import StoredEvent
from contracts import CallCreated, ContactAdded, ContactRefused

SETTLE = timedelta(seconds=20)
"""How long it may take to take a contact that may be called: replicas pull from one group after the other."""
SETTLE_AFTER_RESTART = timedelta(seconds=60)
"""The same, if a replica died that had taken it."""
MAX_CROWD = 14
"""No contact is taken while about so many calls of its campaign wait for slots."""


def check_contacts(
    oracle: Oracle,
    stored: Sequence[StoredEvent],
    added: Sequence[StoredEvent[ContactAdded]],
    waiting: Sequence[ContactAdded],
    ends_at: datetime,
    settle: timedelta,
) -> None:
    """Raises Violation. `added`: all contacts; `waiting`: those that remain."""
    taken: dict[tuple[str, str], datetime] = {}
    for one in stored:
        event, at = one.event, one.stored_at or one.envelope.time
        if isinstance(event, CallCreated) and ":" in event.call.request_id:
            campaign_id, contact_id = event.call.request_id.split(":")
            require((campaign_id, contact_id) not in taken, f"{at}: contact {contact_id} is called twice")
            _check_open(oracle, campaign_id, contact_id, at)
            taken[campaign_id, contact_id] = at
        elif isinstance(event, ContactRefused):
            taken.setdefault((event.campaign_id, event.contact_id), at)
    remaining = {(one.campaign_id, one.contact_id) for one in waiting}
    for contact in added:
        key = (contact.event.campaign_id, contact.event.contact_id)
        begin, end = contact.envelope.time, taken.get(key, ends_at)
        overs = list(_overs(oracle, key[0], begin, ends_at))
        is_found = key in taken or key in remaining or bool(overs)
        require(is_found, f"contact {key[1]} of {key[0]} is lost")
        _check_taken(oracle, contact.event, begin, min([end, *overs]), settle)


def _check_open(oracle: Oracle, campaign_id: str, contact_id: str, at: datetime) -> None:
    """A contact is taken while its campaign is open, as a replica knows it within a second."""
    states = oracle.states(campaign_id, at, KNOWN_LATE)
    may_take = any(
        state and is_open(state, at - since) for state in states for since in (timedelta(), CROSSING, KNOWN_LATE)
    )
    require(may_take, f"{at}: contact {contact_id} of {campaign_id} is taken although the campaign is closed")


def _overs(oracle: Oracle, campaign_id: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yields when the campaign was over in this time; its contacts are removed then."""
    history = oracle.campaigns[campaign_id]
    for (changed_at, campaign), until in zip(history, [*(at for at, _ in history[1:]), end], strict=True):
        over_at = changed_at if campaign.finished_at else campaign.terms and campaign.terms.ends_at
        if over_at and until > begin and over_at <= until:
            yield max(over_at, changed_at)


def _check_taken(oracle: Oracle, contact: ContactAdded, begin: datetime, end: datetime, settle: timedelta) -> None:
    """At no time before `end`, the contact might have been called for longer than `settle`."""
    calls = [call for call in oracle.calls.values() if call.campaign_id == contact.campaign_id]
    if len(calls) > MAX_CROWD:
        return
    person = next(one for one in oracle.scenario.people if one.number == contact.phone_number)
    changes = [at for at, _ in oracle.campaigns[contact.campaign_id] if begin < at]
    for since in (*instants(begin, end), *changes):
        until = since + settle
        states = oracle.states(contact.campaign_id, until, settle)
        if until >= end or len(states) > 1 or not (state := states[0]):
            continue
        purpose, weekly = terms_of(state, None)
        may_call = all(is_open(state, at) and is_permitted(person, purpose, weekly, at, []) for at in (since, until))
        require(not may_call, f"contact {contact.contact_id} waits from {since} to {end} although it may be called")
