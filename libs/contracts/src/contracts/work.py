"""What each service does on NATS, as data. `contracts.permissions` derives from it what the service may do."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts import buckets, consumers, filters
from contracts.accounts import api_subject
from contracts.audit import ALL_ENTRIES
from contracts.buckets import ANSWERS, CALL_CLIPS, CLIPS, DIALS
from contracts.callback_times import CallbackTimeQuery
from contracts.consumers import CONSUMERS, Consumer
from contracts.dead_letter_queries import (
    DeadLetterGroupsQuery,
    DeadLetterListQuery,
    DeadLetterQuery,
    DropDeadLetter,
    RetryDeadLetter,
)
from contracts.event import Service
from contracts.events.erasures import RequestsErased
from contracts.events.timers import SCHEDULES_OF_CALLS
from contracts.outcomes import OutcomesQuery
from contracts.provider_calls import ProviderCallsQuery
from contracts.queries import (
    CALL_REQUEST,
    OUTCOMES,
    PUBLISHED_OUTCOMES,
    AdmissionQuery,
    CallingTimesQuery,
    CallListQuery,
    CampaignCallsQuery,
    CampaignListQuery,
    CampaignStatisticsQuery,
    NumberCallsQuery,
)
from contracts.service_status import ALL_STATUSES, STATUS_REQUEST
from contracts.streams import (
    AUDIT,
    CALLS,
    CHECKED_KEY,
    CONTACTS,
    DEAD_LETTERS,
    KEYS,
    NUMBERS,
    QUEUE,
    REQUESTS,
    SCHEDULES,
    Stream,
)

DEAD_LETTER_USER = "dead-letters"
"""Lists, resends and drops dead letters for the edge. No service: it publishes messages that others own (ADR 53)."""

_STATISTICS = CampaignStatisticsQuery.subject
_QUERIES = (
    _STATISTICS,
    CampaignCallsQuery.subject,
    CallListQuery.subject,
    NumberCallsQuery.subject,
    ProviderCallsQuery.subject,
    CampaignListQuery.subject,
    OutcomesQuery.subject,
)
"""What campaign-stats answers from MongoDB."""
_OF_DEAD_LETTERS = tuple(
    request.subject
    for request in (DeadLetterListQuery, DeadLetterGroupsQuery, DeadLetterQuery, RetryDeadLetter, DropDeadLetter)
)
"""What the process of dead letters answers."""
_SERVER_TIME = api_subject("STREAM.INFO", SCHEDULES.name)
"""The request whose answer has the time of the server (`chassis.bus_clock`)."""

_STATES = (
    *(api_subject("CONSUMER.INFO", consumer.stream.name, consumer.name) for consumer in CONSUMERS),
    *(api_subject("STREAM.INFO", stream.name) for stream in buckets.WATCHED_STREAMS),
)
"""The requests for the state of each consumer, stream and bucket. Their answers contain no message."""

_KEY_CHANGES = (KEYS, KEYS.subjects)
"""Followed by every service that reads personal data, so that it drops a destroyed key."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a service does on NATS beside publishing its events.

    `handles`: durable consumers, whose messages it may store as dead letters. `reads`: streams of which it gets stored
    messages. `follows`: the filters of their subjects whose messages it also receives as they are stored. `takes`: work
    queues whose messages it removes, with pull consumers that it creates and deletes. `answers`: requests to which it
    replies, each with its queue group. `publishes`: further subjects, each with its purpose beside it. `awaits`:
    subjects of answers to which it subscribes, beside its own inboxes.
    """

    handles: tuple[Consumer, ...] = ()
    reads: tuple[Stream, ...] = ()
    follows: tuple[tuple[Stream, tuple[str, ...]], ...] = ()
    takes: tuple[Stream, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    publishes: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()


WORK: Mapping[Service, Work] = {
    Service.ORCHESTRATOR: Work(
        handles=(
            consumers.ORCHESTRATOR_REQUESTS,
            consumers.ORCHESTRATOR_COMMANDS,
            consumers.ORCHESTRATOR_CAMPAIGNS,
            consumers.ORCHESTRATOR_CONTACTS,
            consumers.ORCHESTRATOR_NUMBERS,
            consumers.ORCHESTRATOR_PERSONS,
            consumers.ORCHESTRATOR_FACTS,
            consumers.ORCHESTRATOR_FINISHES,
        ),
        reads=(CALLS, REQUESTS, CONTACTS, QUEUE, NUMBERS, SCHEDULES, KEYS, DEAD_LETTERS),
        follows=(
            (CALLS, (*filters.SLOT_FILTERS, *filters.CAMPAIGN_FILTERS)),
            (CONTACTS, filters.CONTACT_GROUP_FILTERS),
            (QUEUE, QUEUE.subjects),
            _KEY_CHANGES,
        ),
        takes=(CONTACTS,),
        answers=tuple(
            (query.subject, Service.ORCHESTRATOR) for query in (AdmissionQuery, CallingTimesQuery, CallbackTimeQuery)
        ),
        publishes=(
            *KEYS.subjects,
            *SCHEDULES_OF_CALLS,
            api_subject("STREAM.PURGE", SCHEDULES.name),  # clears a deadline
            api_subject("STREAM.MSG.DELETE", QUEUE.name),  # leaves the queue
            api_subject("STREAM.MSG.DELETE", REQUESTS.name),  # erases a request in clear once it is decided
            # what the erasure of a person deletes
            *(api_subject("STREAM.MSG.DELETE", stream.name) for stream in (KEYS, CONTACTS, DEAD_LETTERS)),
            PUBLISHED_OUTCOMES,
        ),
    ),
    Service.VOICE: Work(
        handles=(
            consumers.VOICE_DIALS,
            consumers.VOICE_HANGUPS,
            consumers.VOICE_MESSAGES,
            consumers.VOICE_SETTLEMENTS,
        ),
        reads=(CALLS, KEYS, CLIPS.stream, CALL_CLIPS.stream),
        follows=(
            (CALLS, (*filters.DIAL_FILTERS, *filters.LIVE_FILTERS)),
            (CALLS, (*filters.ANSWERED_CALL_FILTERS, *filters.ENDED_CALL_FILTERS)),
            _KEY_CHANGES,
        ),
        publishes=(
            CHECKED_KEY,
            _SERVER_TIME,
            f"$O.{CLIPS.name}.>",
            api_subject("STREAM.PURGE", CLIPS.stream.name),  # the pieces of a clip that was replaced
            f"$KV.{CALL_CLIPS.name}.*.*",
            api_subject("STREAM.PURGE", CALL_CLIPS.stream.name),  # the clips of a call that has ended
        ),
    ),
    Service.CONVERSATION: Work(
        handles=(consumers.CONVERSATION_TURNS,),
        reads=(CALLS, KEYS, ANSWERS.stream),
        follows=(
            (CALLS, (*filters.INTERRUPTION_FILTERS, *filters.PLAYED_FILTERS, *filters.ANSWERED_CALL_FILTERS)),
            _KEY_CHANGES,
        ),
        publishes=(CHECKED_KEY, _SERVER_TIME, f"$KV.{ANSWERS.name}.*", CallbackTimeQuery.subject),
    ),
    Service.EDGE: Work(
        reads=(CALLS, REQUESTS, CONTACTS, NUMBERS, KEYS, AUDIT, DIALS.stream),
        follows=((CALLS, CALLS.subjects), _KEY_CHANGES),
        answers=((CALL_REQUEST, Service.EDGE),),
        publishes=(
            *_QUERIES,
            AdmissionQuery.subject,
            CallingTimesQuery.subject,
            *_OF_DEAD_LETTERS,
            *KEYS.subjects,
            ALL_ENTRIES,
            f"$KV.{DIALS.name}.*.*",
            # the health of the installation (ADR 58), the backlog, and whether all commands for lists are decided
            *_STATES,
            STATUS_REQUEST,
        ),
        awaits=(OUTCOMES, ALL_STATUSES),
    ),
    Service.CAMPAIGN_STATS: Work(
        reads=(CALLS,),
        follows=((CALLS, filters.PROJECTION_FILTERS),),
        answers=tuple((subject, Service.CAMPAIGN_STATS) for subject in _QUERIES),
        publishes=(
            *(f"dead_letter.{subjects}" for subjects in filters.PROJECTION_FILTERS),
            # its gauges: pending messages of each consumer, and the size of each stream
            *_STATES,
        ),
    ),
}

DEAD_LETTER_WORK = Work(
    reads=(DEAD_LETTERS, REQUESTS, CALLS, KEYS),
    follows=(_KEY_CHANGES,),
    answers=tuple((subject, DEAD_LETTER_USER) for subject in _OF_DEAD_LETTERS),
    publishes=(
        CHECKED_KEY,
        *(subject for consumer in CONSUMERS for subject in consumer.filters),  # what can have become a dead letter
        api_subject("STREAM.MSG.DELETE", DEAD_LETTERS.name),
        api_subject("STREAM.MSG.DELETE", REQUESTS.name),  # the former position of a request
        RequestsErased.subjects(),
    ),
)

WORKERS: Mapping[str, Work] = {
    **{str(service): work for service, work in WORK.items()},
    DEAD_LETTER_USER: DEAD_LETTER_WORK,
}
"""What each process of ours does, by its user."""
ANSWERED: Mapping[str, str] = {subject: user for user, work in WORKERS.items() for subject, _ in work.answers}
"""The requests that are answered, each with the user that answers it."""


def work_of(user: str) -> Work:
    """Returns what a service, or the process of dead letters, does on NATS."""
    return WORKERS[user]
