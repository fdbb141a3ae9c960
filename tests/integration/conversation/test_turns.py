"""Turns on a real nats-server with the official SDK: utterances are answered and turns are closed."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.turns import an_utterance
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from contracts import (
    AudioRequested,
    CallStatus,
    ConversationEnded,
    Disposition,
    HangupReason,
    ReplyGenerated,
    SpeechHeard,
    ToolCall,
)
from contracts.streams import CALLS
from conversation.application.turn_events import TurnEvents
from conversation.application.turns import Turns
from conversation.domain.ending import late_opt_out
from conversation.domain.phrases import phrases_of

GOODBYE = phrases_of("es").goodbye
NOTE = ("note", '{"field": "hour", "value": "a las diez"}')
END_CALL = ("end_call", '{"disposition": "confirmed"}')


@pytest.mark.parametrize(("granted_sequence", "reads"), [(None, 2), (0, 2), (10**9, 2), (1, 3)])
async def test_a_turn_reads_the_call_and_one_page_and_nothing_at_the_leader(
    active_call: ActiveCall, model_server: ModelServer, bus_client: Client, granted_sequence: int | None, reads: int
) -> None:
    """The page is read again if the utterance has another position of the grant than the call, which has 0."""
    model_server.prepare("Muy bien, gracias. ¿Podrá venir mañana?")
    utterance = await active_call.append_utterance(1, "Sí, soy yo", granted_sequence)
    requests: list[str] = []

    async def note(message: Msg) -> None:
        if "JS_SRC" not in message.subject:  # a consumer of the server itself, for a stream that sources another
            requests.append(message.subject)

    await bus_client.subscribe("$JS.API.>", cb=note)
    await bus_client.flush()
    await active_call.deliver(utterance)
    await bus_client.flush()
    assert requests == ["$JS.API.DIRECT.GET.CALLS"] * reads
    assert await active_call.sentences(1) == ["Muy bien, gracias.", "¿Podrá venir mañana?"]
    assert "Hola, Ana." in str(model_server.requests[0]["messages"]), "the greeting is a fact of the attempt"


class LogOfOnePair(EventLog):
    """A log whose reads of the call and of its facts wait for each other."""

    has_both: asyncio.Barrier

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """See `EventLog`."""
        await self.has_both.wait()
        return await super().last_of_any_node(subject)

    async def read_after(self, subject: str, after_sequence: int, **options: Any) -> list[StoredEvent]:
        """See `EventLog`."""
        await self.has_both.wait()
        return await super().read_after(subject, after_sequence, **options)


async def test_the_call_and_its_facts_are_read_at_the_same_time(
    active_call: ActiveCall, model_server: ModelServer, bus_client: Client, keyring: Keyring
) -> None:
    model_server.prepare("Muy bien, gracias.")
    log = LogOfOnePair(bus_client, CALLS.name, source="test", keyring=keyring)
    log.has_both = asyncio.Barrier(2)
    active_call.turns = Turns(log, active_call.models, deadline_seconds=5)
    await active_call.deliver(await active_call.append_utterance(1, "Sí", granted_sequence=0))
    assert await active_call.sentences(1) == ["Muy bien, gracias."]


@pytest.mark.parametrize("deadline_seconds", [300.0])
async def test_the_only_sentence_of_an_answer_is_published_before_its_token_counts(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    may_end = asyncio.Event()
    model_server.prepare("Muy bien, gracias.", may_end=may_end)
    utterance = await active_call.append_utterance(1, "Sí")
    answering = asyncio.create_task(active_call.deliver(utterance))
    async with asyncio.timeout(60):
        while await active_call.sentences(1) != ["Muy bien, gracias."]:
            await asyncio.sleep(0.02)
    may_end.set()
    await answering
    [reply] = await active_call.events(ReplyGenerated)
    assert (reply.text, reply.prompt_tokens) == ("Muy bien, gracias.", 100)


async def test_a_person_who_wants_no_more_calls_is_answered_without_the_model(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    await active_call.callee_says(1, "No me llamen más, por favor.")
    assert model_server.requests == []
    assert await active_call.sentences(1) == [phrases_of("es").opted_out]
    [ended] = await active_call.events(ConversationEnded)
    assert ended.disposition is Disposition.OPT_OUT


async def test_an_opt_out_that_arrives_after_the_end_of_the_line_is_recorded_once(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    await active_call.change(status=CallStatus.COMPLETED)
    utterance = await active_call.append_utterance(1, "¡No vuelvan a llamarme!")
    for _ in range(2):
        await active_call.deliver(utterance)
    [ended] = await active_call.events(ConversationEnded)
    assert (ended.disposition, ended.turn) == (Disposition.OPT_OUT, 1)
    assert await active_call.sentences(1) == []


async def test_an_opt_out_after_the_end_of_the_conversation_is_recorded_once(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    call_id, attempt = active_call.call.call_id, active_call.call.attempt
    ended = ConversationEnded(call_id=call_id, attempt=attempt, turn=1, disposition=Disposition.ANSWERED, summary="")
    await active_call.log.append(ended)
    utterance = await active_call.append_utterance(2, "¡No vuelvan a llamarme!")
    for _ in range(2):
        await active_call.deliver(utterance)
    endings = await active_call.events(ConversationEnded)
    assert [ended.disposition for ended in endings] == [Disposition.ANSWERED, Disposition.OPT_OUT]
    assert model_server.requests == []


async def test_an_opt_out_is_recorded_also_if_another_turn_ends_the_conversation_meanwhile(
    active_call: ActiveCall,
) -> None:
    call_id, attempt = active_call.call.call_id, active_call.call.attempt
    other = ConversationEnded(call_id=call_id, attempt=attempt, turn=1, disposition=Disposition.CONFIRMED, summary="")
    await active_call.log.append(other)
    utterance = await active_call.append_utterance(2, "¡No vuelvan a llamarme!")
    assert isinstance(utterance.event, SpeechHeard)
    for ended in (late_opt_out(utterance.event), late_opt_out(utterance.event), other):
        turn = TurnEvents(active_call.log, [], utterance.event, utterance.envelope, "es")  # it has read no ending yet
        await turn.end_conversation(ended)
    endings = await active_call.events(ConversationEnded)
    assert [ended.disposition for ended in endings] == [Disposition.CONFIRMED, Disposition.OPT_OUT]


async def test_facts_that_are_not_part_of_the_conversation_are_not_decoded(
    active_call: ActiveCall, model_server: ModelServer, bus_client: Client
) -> None:
    model_server.prepare("Muy bien, gracias.")
    await bus_client.jetstream().publish(f"dial.placed.{active_call.call.call_id}", b"no JSON")
    await active_call.callee_says(1, "¿Diga?")
    assert model_server.requests[-1]["messages"][-1] == {"role": "user", "content": "¿Diga?"}


@pytest.mark.parametrize("granted_sequence", [None, 1_100_000], ids=["of an older build", "imported"])
async def test_a_call_without_the_sequence_of_its_grant_in_this_log_is_answered(
    active_call: ActiveCall, model_server: ModelServer, granted_sequence: int | None
) -> None:
    await active_call.change(granted_sequence=granted_sequence)
    model_server.prepare("Muy bien.")
    await active_call.callee_says(1, "Sí, soy yo")
    assert await active_call.sentences(1) == ["Muy bien."]


async def test_the_first_turn_of_a_later_attempt_follows_the_turns_before_its_grant(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien.")
    before = await active_call.callee_says(1, "Sí, soy yo")
    [reply] = await active_call.events(ReplyGenerated)
    last = await active_call.log.last(reply.subject)
    assert last is not None
    assert last.sequence > before.sequence
    await active_call.change(attempt=2, granted_sequence=last.sequence)
    heard = await active_call.log.append(
        an_utterance(active_call.call.call_id, 1, "Hola").model_copy(update={"attempt": 2})
    )
    await active_call.deliver(heard)
    replies = await active_call.events(ReplyGenerated)
    assert [(one.attempt, one.text) for one in replies] == [(1, "Muy bien."), (2, "Muy bien.")]


async def test_an_answer_is_published_sentence_by_sentence_and_closed_with_the_last_one(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien, gracias. Le esperamos el lunes. ¿Podrá venir mañana?")
    utterance = await active_call.callee_says(1, "Sí, soy yo")
    sentences = [event for event in await active_call.events(AudioRequested) if event.turn == 1]
    assert [(event.sentence, event.text) for event in sentences] == [
        (0, "Muy bien, gracias."),
        (1, "Le esperamos el lunes."),
    ]
    assert {(event.attempt, event.language, event.is_reusable) for event in sentences} == {(1, "es", False)}
    [reply] = await active_call.events(ReplyGenerated)
    assert (reply.text, reply.sentences) == ("Muy bien, gracias. Le esperamos el lunes. ¿Podrá venir mañana?", 3)
    assert reply.last_sentence == "¿Podrá venir mañana?", "the reply replaces its request"
    assert (reply.model, reply.prompt_tokens, reply.completion_tokens) == ("gpt-4.1-mini", 100, 10)
    assert not reply.is_fallback
    assert reply.first_token_seconds is not None
    stored = await active_call.log.last(reply.subject)
    assert stored is not None
    assert stored.envelope.causation_id == utterance.envelope.id


async def test_half_a_character_of_the_model_is_not_spoken_and_stops_no_turn(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien\ud83d, gracias.", ("note", '{"field": "hour", "value": "a las\\udc00 diez"}'))
    await active_call.callee_says(1, "Sí, soy yo")
    assert await active_call.sentences(1) == ["Muy bien, gracias."]
    [reply] = await active_call.events(ReplyGenerated)
    assert not reply.is_fallback


async def test_the_model_is_sent_the_conversation_so_far(active_call: ActiveCall, model_server: ModelServer) -> None:
    model_server.prepare("Muy bien. ¿Podrá venir mañana?", NOTE)
    await active_call.callee_says(1, "Sí, a las diez")
    await active_call.callee_says(2, "¿Adónde?")
    system, *others = model_server.requests[-1]["messages"]
    assert "Recuérdele su cita." in system["content"]
    assert others[0] == {"role": "user", "name": "script_values", "content": '{"name": "Ana"}'}
    assert [(message["role"], message["content"]) for message in others[1:]] == [
        ("assistant", "Hola, Ana."),
        ("user", "Sí, a las diez"),
        ("assistant", "Muy bien. ¿Podrá venir mañana?"),
        ("tool", "noted"),
        ("user", "¿Adónde?"),
    ]


async def test_the_model_ends_the_call_with_its_goodbye(active_call: ActiveCall, model_server: ModelServer) -> None:
    model_server.prepare("Perfecto, hasta mañana. Adiós.", NOTE, END_CALL)
    await active_call.callee_says(1, "Sí, allí estaré")
    [ended] = await active_call.events(ConversationEnded)
    assert (ended.disposition, ended.turn) == (Disposition.CONFIRMED, 1)
    assert ended.fields == {"hour": "a las diez"}
    assert ended.goodbye_seconds > 1
    assert len(model_server.requests) == 1


async def test_a_call_that_the_model_ends_without_words_gets_the_stock_goodbye(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("", END_CALL)
    await active_call.callee_says(1, "Adiós")
    assert await active_call.sentences(1) == [GOODBYE]
    assert (await active_call.events(AudioRequested))[-1].is_reusable
    assert (await active_call.events(ConversationEnded))[0].disposition is Disposition.CONFIRMED


async def test_tool_calls_without_words_get_their_results_and_the_model_gets_another_request(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("", NOTE)
    model_server.prepare("Queda anotado.")
    await active_call.callee_says(1, "A las diez")
    assert await active_call.sentences(1) == ["Queda anotado."]
    assert [message["role"] for message in model_server.requests[1]["messages"][-2:]] == ["assistant", "tool"]
    reply = (await active_call.events(ReplyGenerated))[0]
    assert reply.tool_calls == (ToolCall(name="note", arguments={"field": "hour", "value": "a las diez"}),)
    assert (reply.prompt_tokens, reply.completion_tokens) == (200, 20)


async def test_a_model_that_only_calls_tools_gets_three_requests(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("", NOTE)
    await active_call.callee_says(1, "A las diez")
    assert len(model_server.requests) == 3
    assert await active_call.sentences(1) == [phrases_of("es").fallback]


@pytest.mark.parametrize("arguments", ["{", "[]", '{"disposition": "delighted"}', '{"disposition": null}'])
async def test_an_unreadable_disposition_still_ends_the_call(
    active_call: ActiveCall, model_server: ModelServer, arguments: str
) -> None:
    model_server.prepare("Hasta mañana, adiós.", ("end_call", arguments))
    await active_call.callee_says(1, "Adiós")
    assert (await active_call.events(ConversationEnded))[0].disposition is Disposition.ANSWERED


async def test_a_call_of_an_unknown_tool_gets_a_result_too(active_call: ActiveCall, model_server: ModelServer) -> None:
    model_server.prepare("", ("transfer", "no json"))
    model_server.prepare("No puedo pasarle con nadie.")
    await active_call.callee_says(1, "Páseme con alguien")
    assert model_server.requests[1]["messages"][-1]["content"] == "there is no such tool"
    assert await active_call.sentences(1) == ["No puedo pasarle con nadie."]


async def test_the_second_silence_in_a_row_ends_the_call_without_a_request(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("¿Sigue usted ahí?")
    await active_call.callee_says(1, "")
    assert model_server.requests[0]["messages"][-1]["content"] == "(The person said nothing.)"
    await active_call.callee_says(2, "")
    assert len(model_server.requests) == 1
    assert await active_call.sentences(2) == [GOODBYE]
    assert (await active_call.events(ConversationEnded))[0].disposition is Disposition.UNRESPONSIVE


@pytest.mark.parametrize(
    "changes",
    [{"status": CallStatus.COMPLETED}, {"hangup_reason": HangupReason.CANCELED}, {"attempt": 2}],
    ids=lambda change: str(change),
)
async def test_an_utterance_of_a_call_or_attempt_that_is_over_is_ignored(
    active_call: ActiveCall, model_server: ModelServer, changes: dict[str, object]
) -> None:
    await active_call.change(**changes)
    await active_call.callee_says(1, "¿Diga?")
    assert model_server.requests == []
    assert await active_call.events(ReplyGenerated) == []


async def test_an_utterance_after_the_end_of_the_conversation_is_ignored(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Hasta mañana, adiós.", END_CALL)
    await active_call.callee_says(1, "Adiós")
    await active_call.callee_says(2, "¿Hola?")
    assert await active_call.sentences(2) == []
    assert len(model_server.requests) == 1


async def test_an_english_call_is_answered_in_english(active_call: ActiveCall, model_server: ModelServer) -> None:
    model_server.prepare("", END_CALL)
    await active_call.change(language="en-US")
    await active_call.callee_says(1, "Goodbye")
    assert "Language: English (en-US)" in model_server.requests[0]["messages"][0]["content"]
    assert await active_call.sentences(1) == [phrases_of("en-US").goodbye]
