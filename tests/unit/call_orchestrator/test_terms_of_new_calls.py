"""What a new call takes from the terms of its campaign, and which requests and changes contradict them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError
from tests.builders.calls import NOW

from call_orchestrator.application.call_terms import (
    Policy,
    UnacceptableTerms,
    changed_call,
    disclosed_by,
    message_disclosed_by,
    new_call,
)
from call_orchestrator.application.decision_terms import MESSAGE_MARGIN, terms_of
from call_orchestrator.domain.disclosures import Disclosures
from contracts import (
    Call,
    CallChangeRequested,
    CallRequested,
    CampaignTerms,
    ContactRequested,
    ConversationMode,
    Purpose,
    RequestedTerms,
    VoicemailPolicy,
    decode,
)
from contracts.phrases import greeting_of, message_of
from contracts.turn_taking import TurnTakingTerms

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=3,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
    disclosure_of=disclosed_by(Disclosures.shipped()),
    message_disclosure_of=message_disclosed_by(Disclosures.shipped()),
)
TERMS = RequestedTerms.model_validate(
    {
        "script_template": "Hello {{name}}, this is {{company}}.\n\nAsk for the reading.",
        "variables": {"company": "Acme", "name": "neighbour"},
        "language": "en",
        "retry_policy": {
            "busy": {"max_retries": 2, "delay_seconds": 60},
            "goal_missed": {"max_retries": 1, "delay_seconds": 3600},
        },
        "call_timeout_seconds": 20,
        "max_attempts": 2,
        "goal": "confirmed",
    }
).stored()
NUMBER = "+12125550123"


def requested(**fields: object) -> CallRequested:
    """Returns a request as the orchestrator decodes it from the stored message."""
    given = {"campaign_id": "spring", "contact_id": "c-1", "phone_number": NUMBER, **fields}
    request = CallRequested.model_validate(given)
    decoded = decode(request.subject, request.body())
    assert isinstance(decoded, CallRequested)
    return decoded


def call_of(request: CallRequested, campaign: CampaignTerms = TERMS) -> Call:
    return new_call(UUID(int=1), request, POLICY, NOW, campaign)


@pytest.mark.parametrize(("terms", "key"), [({}, "9"), ({"opt_out_key": "*"}, "*"), ({"opt_out_key": "off"}, "off")])
def test_the_opt_out_key_is_that_of_the_campaign_or_9(terms: dict[str, str], key: str) -> None:
    campaign = RequestedTerms.model_validate({"script_template": "Hello.", **terms}).stored()
    call = call_of(requested(), campaign)
    assert call.opt_out_key == key
    assert Call.model_validate_json(call.model_dump_json(exclude_defaults=True)).opt_out_key == key


def test_a_call_is_made_from_the_number_and_in_the_voice_of_its_campaign() -> None:
    terms = {"script_template": "Hello.", "caller_id": "+12125550101", "voice": "21m00Tcm4TlvDq8ikWAM"}
    call = call_of(requested(), RequestedTerms.model_validate(terms).stored())
    assert (call.caller_id, call.voice) == ("+12125550101", "21m00Tcm4TlvDq8ikWAM")


def test_a_conversation_is_held_as_the_request_or_else_its_campaign_says() -> None:
    live = TERMS.model_copy(update={"mode": "live"})
    assert call_of(requested()).mode is ConversationMode.TURN_BASED
    assert call_of(requested(), live).mode is ConversationMode.LIVE
    assert call_of(requested(mode="turn_based"), live).mode is ConversationMode.TURN_BASED
    change = CallChangeRequested(call_id=UUID(int=1), mode=ConversationMode.LIVE)
    assert changed_call(call_of(requested()), change, POLICY).mode is ConversationMode.LIVE


def test_a_call_has_what_its_request_leaves_out_from_its_campaign() -> None:
    call = call_of(requested(variables={"name": "Ada"}))
    assert (call.script_template, call.language) == (TERMS.script_template, "en")
    assert call.variables == {"company": "Acme", "name": "Ada"}
    assert (call.retry_policy, call.goal) == (TERMS.retry_policy, "confirmed")
    assert (call.call_timeout_seconds, call.max_retries, call.max_attempts) == (20, 1, 2)


def test_what_the_request_gives_takes_precedence_also_if_it_is_the_default() -> None:
    call = call_of(
        requested(
            script_template="Hola.",
            language="es",
            retry_policy={"busy": {"max_retries": 1, "delay_seconds": 5}},
            call_timeout_seconds=45,
            max_retries=0,
        )
    )
    assert (call.script_template, call.variables, call.language) == ("Hola.", {}, "es")
    assert call.retry_policy
    assert (call.retry_policy.busy.delay_seconds if call.retry_policy.busy else None) == 5
    assert (call.call_timeout_seconds, call.max_retries) == (45, 0)


def test_a_call_has_the_message_of_its_campaign_unless_its_request_has_one() -> None:
    campaign = TERMS.model_copy(update={"voicemail": VoicemailPolicy(message="{{company}} called.")})
    assert call_of(requested(), campaign).voicemail == campaign.voicemail
    own = call_of(requested(voicemail={"message": "Hello {{name}}."}), campaign)
    assert own.voicemail == VoicemailPolicy(message="Hello {{name}}.")
    assert call_of(requested()).voicemail is None
    with pytest.raises(UnacceptableTerms, match=r"voicemail\.message: asks for company: give it in variables"):
        call_of(requested(script_template="Hello."), campaign)


def test_a_call_takes_turns_as_its_campaign_says() -> None:
    terms = {"turn_taking": {"silence_seconds": 4, "backchannels": ["sale"]}}
    campaign = RequestedTerms.model_validate({**TERMS.model_dump(), **terms}).stored()
    taken = call_of(requested(), campaign).turn_taking
    assert taken == TurnTakingTerms(silence_seconds=4, backchannels=("sale",))
    assert call_of(requested()).turn_taking is None


def test_without_terms_the_defaults_of_the_installation_apply() -> None:
    call = call_of(requested(script_template="Hola."), CampaignTerms())
    assert (call.language, call.call_timeout_seconds, call.max_retries) == ("es", 30, 3)
    assert (call.retry_policy, call.goal, call.max_attempts) == (None, None, None)
    stored = call.model_dump(exclude_defaults=True)
    assert {"goal", "max_attempts"}.isdisjoint(stored), "a call without them has no bytes for them"


@pytest.mark.parametrize(
    ("request_", "campaign", "reason"),
    [
        (requested(), CampaignTerms(), "script_template: neither the request nor its campaign has one; give it in"),
        (
            requested(),
            TERMS.model_copy(update={"variables": {}}),
            "script_template asks for name, company: give it in variables",
        ),
        (
            requested(),
            CampaignTerms(script_template="{{name}}", variables={"name": " "}),
            "script_template has no text in its first paragraph: that is the greeting",
        ),
        (
            requested(max_retries=2),
            TERMS,
            "max_retries: its campaign permits 2 attempts in all; give at most 1, or leave it out",
        ),
        (
            requested(script_template="Hola.", purpose="sales"),
            CampaignTerms(purpose=Purpose.SERVICE),
            "purpose: its campaign is for service; leave purpose out, or use another campaign",
        ),
        (
            requested(script_template="Hola.", retry_policy={"goal_missed": {"max_retries": 1, "delay_seconds": 60}}),
            CampaignTerms(),
            "retry_policy: goal_missed needs a campaign with a goal; leave this rule out",
        ),
    ],
)
def test_an_incomplete_or_contradictory_request_is_refused_with_field_and_remedy(
    request_: CallRequested, campaign: CampaignTerms, reason: str
) -> None:
    with pytest.raises(UnacceptableTerms) as refused:
        call_of(request_, campaign)
    assert str(refused.value).startswith(reason)


def test_a_change_beyond_the_attempts_of_the_campaign_is_refused() -> None:
    call = call_of(requested())
    change = CallChangeRequested(call_id=call.call_id, max_retries=2)
    with pytest.raises(UnacceptableTerms, match="its campaign permits 2 attempts in all"):
        changed_call(call, change, POLICY)
    assert changed_call(call, change.model_copy(update={"max_retries": 0}), POLICY).max_retries == 0


def test_a_call_keeps_the_consent_of_its_request() -> None:
    call = call_of(requested(consent_at="2026-01-02T10:00:00Z", consent_source="form 3"), TERMS)
    assert (call.consent_at, call.consent_source) == (datetime(2026, 1, 2, 10, tzinfo=UTC), "form 3")


def test_the_greeting_of_a_call_begins_with_who_calls() -> None:
    terms = {"script_template": "Hello {{name}}.\n\nAsk for the reading.", "company": "Acme", "language": "en-US"}
    call = call_of(requested(variables={"name": "Ada"}), RequestedTerms.model_validate(terms).stored())
    assert greeting_of(call) == f"{call.disclosure} Hello Ada."
    said = "This is Acme, with an automated call by an artificial intelligence. To receive no more calls, press 9."
    assert call.disclosure == said
    assert greeting_of(call.model_copy(update={"company": None})) == "Hello Ada."
    former = call.model_copy(update={"disclosure": None})
    assert greeting_of(former) == "This is an automated call with an artificial voice, on behalf of Acme. Hello Ada."


def test_a_message_to_a_machine_begins_with_who_calls_and_names_no_key() -> None:
    terms = {"script_template": "Hello.", "company": "Acme", "language": "en", "voicemail": {"message": "Hi {{name}}."}}
    call = call_of(requested(variables={"name": "Ada"}), RequestedTerms.model_validate(terms).stored())
    said = "This is Acme, with an automated call by an artificial intelligence."
    assert (call.message_disclosure, message_of(call)) == (said, f"{said} Hi Ada.")
    assert (call.disclosure or "").startswith(said)
    assert message_of(call.model_copy(update={"company": None})) == "Hi Ada."
    assert message_of(call.model_copy(update={"voicemail": None})) is None
    former = call.model_copy(update={"message_disclosure": None})
    assert message_of(former) == "This is an automated call with an artificial voice, on behalf of Acme. Hi Ada."


def test_a_change_of_message_number_or_language_changes_what_a_machine_hears_and_for_how_long() -> None:
    terms = {"script_template": "Hello.", "company": "Acme", "language": "en"}
    call = call_of(requested(), RequestedTerms.model_validate(terms).stored())
    assert call.message_disclosure is None
    for fields, said in (
        ({}, "This is Acme, with an automated call by an artificial intelligence. Hi."),
        ({"language": "es"}, "Le llama Acme, con la voz de una inteligencia artificial. Hi."),
        ({"phone_number": "+34912345678"}, "I am an artificial intelligence, calling on behalf of Acme. Hi."),
    ):
        change = {"call_id": call.call_id, "voicemail": {"message": "Hi."}, **fields}
        policy = replace(POLICY, allowed_countries=frozenset({"US", "ES"}))
        changed = changed_call(call, CallChangeRequested.model_validate(change), policy)
        assert message_of(changed) == said
        seconds = round((len(said) - 1) / 10)
        assert terms_of(changed, timedelta(days=1)).message_time == timedelta(seconds=seconds) + MESSAGE_MARGIN


def test_a_change_of_number_or_language_changes_the_disclosure_and_no_other_change_does() -> None:
    terms = {"script_template": "Hello.", "company": "Acme", "language": "en", "opt_out_key": "off"}
    call = call_of(requested(), RequestedTerms.model_validate(terms).stored())
    change = CallChangeRequested(call_id=call.call_id, metadata={"a": "b"})
    other = replace(POLICY, disclosure_of=lambda _: "Another table.", allowed_countries=frozenset({"US", "ES"}))
    assert changed_call(call, change, other).disclosure == call.disclosure
    for fields, said in (
        ({"language": "es"}, "Le llama Acme, con la voz de una inteligencia artificial."),
        ({"phone_number": "+34912345678"}, "I am an artificial intelligence, calling on behalf of Acme."),
    ):
        changed = CallChangeRequested.model_validate({"call_id": call.call_id, **fields})
        policy = replace(other, disclosure_of=POLICY.disclosure_of)
        assert changed_call(call, changed, policy).disclosure == said


@pytest.mark.parametrize(
    ("consent", "refusal"),
    [
        ({"consent_at": NOW + timedelta(seconds=1)}, "consent_at: lies in the future"),
        ({"consent_source": "form 3"}, "consent_source: needs consent_at"),
    ],
)
def test_a_consent_is_refused_if_it_is_not_given_yet_or_has_no_instant(
    consent: dict[str, object], refusal: str
) -> None:
    contact = ContactRequested.model_validate({"campaign_id": "spring", "phone_number": NUMBER, **consent})
    for request in (requested(script_template="Hello.", **consent), contact):
        assert [line[: len(refusal)] for line in request.refusals(NOW)] == [refusal]


CALLEE_TERMS = {
    "opt_out_key": "off",
    "caller_id": "+12125550199",
    "voice": "a-voice",
    "company": "Acme",
    "retention_days": 30,
    "consent_at": datetime(2026, 1, 2, 10, tzinfo=UTC),
    "consent_source": "form 3",
}
"""Terms of a single call that concern the callee. A campaign has all of them but the consent."""
OF_CAMPAIGN = {
    "script_template": "Hello.",
    "opt_out_key": "#",
    "caller_id": "+12125550100",
    "voice": "other",
    "company": "Umbrella",
    "retention_days": 9,
}


@pytest.mark.parametrize("name", CALLEE_TERMS)
def test_a_request_or_a_change_sets_a_term_of_the_callee_and_leaves_the_others_to_the_campaign(name: str) -> None:
    campaign = RequestedTerms.model_validate(OF_CAMPAIGN).stored()
    given = {name: CALLEE_TERMS[name], "consent_at": CALLEE_TERMS["consent_at"]}
    without = call_of(requested(), campaign)
    call = call_of(requested(**given), campaign)
    changed = changed_call(without, CallChangeRequested.model_validate({"call_id": without.call_id, **given}), POLICY)
    expected = {**dict.fromkeys(CALLEE_TERMS), **OF_CAMPAIGN, **given}
    del expected["script_template"]
    for after in (call, changed):
        assert {term: getattr(after, term) for term in CALLEE_TERMS} == expected
        assert after.disclosure == POLICY.disclosure_of(after)
    assert [getattr(without, term) for term in CALLEE_TERMS] == [OF_CAMPAIGN.get(term) for term in CALLEE_TERMS]


@pytest.mark.parametrize("caller_ids", [frozenset[str](), frozenset({"+12125550100"})])
def test_a_call_from_a_number_of_somebody_else_is_refused(caller_ids: frozenset[str]) -> None:
    policy = replace(POLICY, caller_ids=caller_ids)
    request = requested(script_template="Hello.", caller_id="+12125550199")
    call = call_of(requested(script_template="Hello."))
    change = CallChangeRequested(call_id=call.call_id, caller_id="+12125550199")
    refused = r"^caller_id: this installation may not call .* CALLER_IDS"
    with pytest.raises(UnacceptableTerms, match=refused):
        new_call(UUID(int=1), request, policy, NOW)
    with pytest.raises(UnacceptableTerms, match=refused):
        changed_call(call, change, policy)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"opt_out_key": "A"}, "opt_out_key"),
        ({"caller_id": "2125550199"}, "caller_id"),
        ({"voice": "a/b"}, "voice"),
        ({"company": " "}, "company"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": 3_651}, "retention_days"),
    ],
)
def test_a_wrong_term_of_the_callee_is_refused_with_its_field(fields: dict[str, object], refusal: str) -> None:
    change = {"call_id": UUID(int=1), **fields}
    request = {"campaign_id": "spring", "contact_id": "c-1", "phone_number": NUMBER, **fields}
    for model, given in ((CallChangeRequested, change), (CallRequested, request)):
        with pytest.raises(ValidationError) as refused:
            model.model_validate(given)
        assert refused.value.errors()[0]["loc"][0] == refusal
