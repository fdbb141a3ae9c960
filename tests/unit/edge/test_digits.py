"""The agent presses keys in a conversation in turns: once its words were heard, and once at most."""

import pytest
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.turns import a_reply, an_utterance
from tests.fakes.event_log import FakeEventLog
from tests.fakes.speech import FakeSpeech

from contracts import ConversationEnded, DigitsSent, Disposition, SpeechHeard
from contracts.vocabulary import CallStatus
from edge.application.dialogue import DialogueService
from edge.domain.occurrences import RemainderReported, UtteranceReceived
from telephony.instructions import HangUp, Instruction, Listen, PlayTurn, PressKeys, Utterance
from telephony.twilio import TwilioWebhooks

CALL = a_call(CallStatus.IN_PROGRESS)
ID = CALL.call_id


@pytest.fixture
def log() -> FakeEventLog:
    """Returns the log of a call whose reply to turn 1 requests keys."""
    log = FakeEventLog()
    log.store(call_created(CALL))
    log.store(an_utterance(ID, 1, "Para ventas, marque uno."), event_id="twilio/CA1/heard/1")
    log.store(a_reply(ID, 1, "").model_copy(update={"sentences": 0, "digits": "1w2"}))
    return log


@pytest.fixture
def dialogue(log: FakeEventLog) -> DialogueService:
    return DialogueService(log, FakeSpeech())


def silence() -> UtteranceReceived:
    return UtteranceReceived(1, 2, Utterance("", None, "twilio/CA1/heard/2"), is_after_spoken_text=False)


def words(text: str = "Para ventas, marque uno.") -> UtteranceReceived:
    return UtteranceReceived(1, 2, Utterance(text, None, "twilio/CA1/heard/2"), is_after_spoken_text=False)


def played_to_its_end() -> RemainderReported:
    return RemainderReported(1, 1, 0)


def sent(log: FakeEventLog) -> list[tuple[int, str]]:
    return [(event.turn, event.digits) for event in log.events(DigitsSent) if isinstance(event, DigitsSent)]


@pytest.mark.parametrize("occurrence", [silence(), played_to_its_end()], ids=["silence", "played"])
async def test_keys_are_pressed_once_the_reply_was_heard(
    occurrence: UtteranceReceived | RemainderReported, dialogue: DialogueService, log: FakeEventLog
) -> None:
    instruction = await dialogue.respond(ID, occurrence)
    assert isinstance(instruction, PressKeys)
    assert (instruction.turn, instruction.digits) == (1, "1w2")
    assert sent(log) == [(1, "1w2")]
    assert len(log.events(SpeechHeard)) == 1, "the silence was that of the line, and claims no turn"


async def test_they_are_not_pressed_again(dialogue: DialogueService, log: FakeEventLog) -> None:
    await dialogue.respond(ID, played_to_its_end())
    assert isinstance(await dialogue.respond(ID, played_to_its_end()), Listen)
    again = await dialogue.respond(ID, silence())
    assert (isinstance(again, PlayTurn) and again.turn, sent(log)) == (2, [(1, "1w2")]), "a silence after them is real"


async def test_words_before_them_interrupt_the_reply(dialogue: DialogueService, log: FakeEventLog) -> None:
    instruction = await dialogue.respond(ID, words())
    assert isinstance(instruction, PlayTurn)
    assert instruction.turn == 2
    late = await dialogue.respond(ID, played_to_its_end())
    assert isinstance(late, PlayTurn)
    assert sent(log) == []


async def test_a_call_that_is_over_presses_none(dialogue: DialogueService, log: FakeEventLog) -> None:
    log.store(ConversationEnded(call_id=ID, attempt=1, turn=1, disposition=Disposition.DECLINED, summary=""))
    assert isinstance(await dialogue.respond(ID, silence()), HangUp)
    assert sent(log) == []


def test_twilio_presses_them_before_it_listens() -> None:
    twilio = TwilioWebhooks("token", "https://edge.example.com", "https://media.example.com")
    press: Instruction = PressKeys(ID, 1, "es", 1, "1w2", 40)
    document = twilio.render(press)
    assert document.index('<Play digits="1w2" />') < document.index("<Gather")
    assert f"/{ID}/1/2" in document, "what is heard then is turn 2"
