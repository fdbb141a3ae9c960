"""The outcome of a message goes to the user that its source names, of a closed list."""

from uuid import UUID

import pytest

from contracts import CommandOutcome, Service, is_outcome_of, outcome_subject, published_outcome_subject
from contracts.askers import COMMAND_LINE, asker_of, outcomes_for
from contracts.envelope import UNNAMED
from contracts.imports import Kind, imports
from contracts.permissions import OPERATOR, users
from contracts.queries import OUTCOMES

FORGED = ("EDGE", "edge ", "operator", "voice", "admin", "*", ">", "edge.>", "edge.*", "", "x" * 200, "é", UNNAMED)


@pytest.mark.parametrize(
    ("source", "asker"),
    [
        (Service.EDGE, Service.EDGE),
        (COMMAND_LINE, OPERATOR),
        (Service.ORCHESTRATOR, Service.ORCHESTRATOR),
        *((source, Service.UPSTREAM) for source in FORGED),
    ],
)
def test_the_source_of_a_message_names_one_of_the_askers(source: str, asker: str) -> None:
    assert asker_of(source) == asker
    own, published = outcome_subject("1"), published_outcome_subject(source, "1")
    assert published.split(".") == ["outcome", asker, own.removeprefix("outcome.")]


@pytest.mark.parametrize("message_id", ["1", "a.b", "*", ">", "x" * 5000, "", "\r\n"])
def test_any_id_gives_one_short_subject(message_id: str) -> None:
    family, token = outcome_subject(message_id).split(".")
    assert family == "outcome"
    assert UUID(token).version == 5


def test_each_asker_imports_the_outcomes_of_its_own_messages_and_no_account_those_of_the_orchestrator() -> None:
    askers = {user.name for user in users() if OUTCOMES in user.subscribe}
    assert askers == {Service.UPSTREAM, Service.EDGE, OPERATOR}
    found = [one for one in imports() if one.subject.startswith("outcome.")]
    assert {(one.kind, one.local) for one in found} == {(Kind.STREAM, OUTCOMES)}
    importing = {one.importer: one.subject for one in found if one.importer != "CENTRALITA"}
    assert importing == {asker.upper(): outcomes_for(asker) for asker in askers}


def test_an_outcome_is_that_of_one_position_in_the_stream() -> None:
    assert is_outcome_of(CommandOutcome(accepted=True, request_sequence=7), 7)
    assert is_outcome_of(CommandOutcome(accepted=True), 7)  # of an older build
    assert not is_outcome_of(CommandOutcome(accepted=True, request_sequence=8), 7)
