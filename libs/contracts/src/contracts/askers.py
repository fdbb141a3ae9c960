"""Who asked for the outcome of a request or command, and the subjects on which the outcome travels (ADR 83).

call-orchestrator publishes each outcome on ``outcome.<asker>.<id>``. The account of an asker imports the outcomes of
its own messages alone, as ``outcome.<id>``. So an asker need not know its name, and receives no outcome of another one.

The envelope's source says who asked. Upstream systems write it, too. A wrong source sends the outcome of one's own
message to another asker, and not to where one expects it. The other asker listens for ids that it made itself, and
`is_outcome_of` rejects the outcome of another message with such an id.
"""

from collections.abc import Mapping
from uuid import uuid5

from contracts.event import Service
from contracts.permissions import OPERATOR
from contracts.queries import OUTCOMES, PUBLISHED_OUTCOMES, CommandOutcome
from contracts.values import CALL_NAMESPACE

COMMAND_LINE = "centralita-cli"
"""The source of the requests of the command line."""
_ASKERS: Mapping[str, str] = {
    Service.EDGE: Service.EDGE,
    COMMAND_LINE: OPERATOR,
    Service.ORCHESTRATOR: Service.ORCHESTRATOR,  # its own commands, whose outcomes no account imports
}


def asker_of(source: str) -> str:
    """Returns the user that asks for the outcome of a message with this source (``ce-source``).

    All sources that are not listed are upstream systems, because these name themselves as they like.
    """
    return _ASKERS.get(source, Service.UPSTREAM)


def outcome_subject(message_id: str) -> str:
    """Returns the subject on which a sender receives the outcome of the message with this id (``ce-id``).

    Its last token is the UUIDv5 (RFC 9562) of the id in the name space of call ids, so any id gives a short and valid
    subject. Subscribe before publishing: outcomes are not stored.
    """
    return OUTCOMES.replace("*", _token(message_id))


def outcomes_for(asker: str) -> str:
    """Returns the filter of the outcomes that call-orchestrator publishes for an asker."""
    return PUBLISHED_OUTCOMES.replace("*", asker, 1)


def published_outcome_subject(source: str, message_id: str) -> str:
    """Returns the subject on which call-orchestrator publishes the outcome of a message with this source and id."""
    return outcomes_for(asker_of(source)).replace("*", _token(message_id))


def is_outcome_of(outcome: CommandOutcome, request_sequence: int) -> bool:
    """Returns whether an outcome is that of the message at this position in REQUESTS, which its acknowledgement names.

    A user that reads REQUESTS knows the ids of others, and could publish another message with one of them. Outcomes of
    older builds have no position, and are accepted.
    """
    return outcome.request_sequence in (None, request_sequence)


def _token(message_id: str) -> str:
    return str(uuid5(CALL_NAMESPACE, message_id))
