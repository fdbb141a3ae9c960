"""Turn-taking: the next instruction, from the events of a call and what just happened on its line.

Turns
-----
A conversation is a sequence of turns. A turn is one utterance of the callee and the agent's reply to it; turn 0 is the
greeting. An utterance enters the conversation by *claiming* a turn: `speech.heard` is appended with that number. Then
conversation generates the reply to this turn, and voice synthesizes it.

Claiming
--------
Several writers may claim at once: a webhook that the provider repeats, two replicas of the edge, a text that a person
sends over REST. Each reads the log, computes the next number and appends. The guard of the append: no `speech.heard` of
the call was appended in between. One append succeeds; the others raise Conflict, read again and decide again. So:

- Turn numbers of an attempt are unique and increase. An utterance claims the turn that its webhook names, or the next
  free one if that turn is claimed, so no utterance is lost.
- A repeated webhook claims nothing: the log contains its event id. Its instruction is that of the first time, even if
  the conversation has ended since; otherwise the callee would miss the goodbye.
- After the end of the conversation a new utterance claims nothing: the instruction is to hang up. If its words are an
  opt-out, it is stored nevertheless, without a claim. Conversation appends the opt-out and generates no reply.

Silence
-------
A silence is an utterance without text and claims a turn like any other, with one exception. If voice could not
synthesize the rest of the reply, the callee is silent because the line was. The provider's own voice then speaks the
unplayed remainder, and the same turn is awaited again. A silence after that is a real one.

Keys
----
The callee may press a key in place of an utterance. The opt-out key asks for no more calls: that is stored, also if the
line is being closed, and the provider's own voice says goodbye. It needs neither conversation nor voice. Any other key
claims no turn: the turn before it is played again.

The agent may press keys, too, for a switchboard. Its reply requests them, and they are pressed once its words were
heard: voice then redirects the call, or else the callee's silence is reported. Words of the callee that come first
interrupt the reply, and the keys are not pressed.

Messages to machines
--------------------
When detection has found a machine, and the call has a message for it, voice redirects the call to `Webhook.MESSAGE`,
and the message is played. What the callee says meanwhile is no turn of a conversation, with one exception: if no beep
was heard, and the words are not those of a voicemail, a person has answered. The utterance then claims its turn, and
the conversation goes on (docs/adr/0041).

Live conversations
------------------
In a live conversation voice claims the turns, over a media stream of audio or text. The edge opens the stream, and
says what is next when it has ended (`edge.domain.streams`): the end of the call, another stream, or turns from here on.

Transfers
---------
In turns, a transfer begins when voice reports that its announcement was heard, and with words or silence; in a live
conversation at the end of the stream. If no person was connected, the result claims the next turn (docs/transfers.md).

Reading the remainder takes time. `decide` therefore returns `ReadRemainder` only when it needs the text, and is called
again with it, at most once.
"""

from dataclasses import replace
from typing import assert_never

from contracts.opt_out_phrases import is_opt_out
from contracts.vocabulary import CallStatus, ConversationMode
from contracts.wait_phrases import unanswered_phrase
from edge.domain.callee_words import is_late_opt_out, is_person_after_machine
from edge.domain.decisions import (
    ClaimTurn,
    Decision,
    Degrade,
    LateOptOut,
    OptOut,
    ReadRemainder,
    RefuseText,
    ReportLoss,
    SendDigits,
    StartTransfer,
)
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import (
    Answered,
    MessageAwaited,
    Occurrence,
    RemainderReported,
    StreamEnded,
    TextReceived,
    TransferReported,
    UtteranceReceived,
)
from edge.domain.transfer_ends import consequence_of, unreported_end
from telephony.instructions import (
    GREETING_TURN,
    HangUp,
    Instruction,
    Listen,
    OpenStream,
    PlayGreeting,
    PlayMessage,
    PlayTurn,
    PressKeys,
    Prompt,
    RestartMessage,
    SpeakGoodbye,
    SpeakMessage,
    SpeakText,
)


def decide(dialogue: Dialogue, occurrence: Occurrence) -> Decision:
    """Returns what to do next on the line of a call."""
    decision = _decide(dialogue, occurrence)
    if isinstance(decision, OpenStream) and dialogue.mode is ConversationMode.RELAY:
        return replace(decision, language=dialogue.language, is_relay=True, voice=dialogue.voice)
    return _hearing_keys(dialogue, decision) if isinstance(decision, Prompt) else decision


def _decide(dialogue: Dialogue, occurrence: Occurrence) -> Decision:
    match occurrence:
        case UtteranceReceived() if (key := occurrence.utterance.key) and key == dialogue.opt_out_key:
            return OptOut(occurrence.attempt, key, occurrence.utterance.event_id)
        case UtteranceReceived() if is_late_opt_out(dialogue, occurrence):
            is_latest = occurrence.attempt == dialogue.attempt
            turn = max(occurrence.turn, dialogue.last_turn + 1) if is_latest else occurrence.turn
            return LateOptOut(occurrence.attempt, turn, occurrence.utterance)
        case TextReceived():
            return _after_text(dialogue, occurrence)
        case StreamEnded(attempt=dialogue.attempt, generation=generation) if dialogue.streams.has_opted_out(generation):
            return OptOut(
                dialogue.attempt, dialogue.opt_out_key or "", f"{dialogue.call_id}/{dialogue.attempt}/{generation}"
            )
        case TransferReported() if (ending := unreported_end(dialogue, occurrence)) is not None:
            return ending
        case _ if not dialogue.is_line_open or occurrence.attempt != dialogue.attempt:
            return HangUp()
        case Answered():
            return _after_answer(dialogue)
        case UtteranceReceived():
            return _after_utterance(dialogue, occurrence)
        case RemainderReported():
            return _after_remainder(dialogue, occurrence)
        case MessageAwaited():
            return _after_machine(dialogue, occurrence)
        case StreamEnded():
            return _after_stream(dialogue, occurrence.generation)
        case TransferReported():
            return _after_transfer(dialogue, occurrence)
        case _:
            assert_never(occurrence)


def play(dialogue: Dialogue, turn: int) -> Instruction:
    """Returns the instruction that plays a turn."""
    if turn == GREETING_TURN:
        greeting = PlayGreeting(dialogue.call_id, dialogue.attempt, dialogue.language)
        return _hearing_keys(dialogue, greeting)
    reply = PlayTurn(dialogue.call_id, dialogue.attempt, dialogue.language, turn, dialogue.sequence_of(turn))
    return _hearing_keys(dialogue, reply)


def _hearing_keys(dialogue: Dialogue, prompt: Prompt) -> Prompt:
    return replace(prompt, hears_keys=dialogue.opt_out_key is not None)


def _speak(dialogue: Dialogue, turn: int, text: str) -> Instruction:
    sequence = dialogue.sequence_of(turn)
    return SpeakText(dialogue.call_id, dialogue.attempt, dialogue.language, turn, text, sequence)


def _after_text(dialogue: Dialogue, received: TextReceived) -> Decision:
    is_in_progress = dialogue.is_line_open and dialogue.status is CallStatus.IN_PROGRESS
    is_talking = is_in_progress and not (dialogue.has_ended or dialogue.message or dialogue.is_transferring)
    return ClaimTurn(dialogue.last_turn + 1, received.utterance) if is_talking else RefuseText()


def _after_answer(dialogue: Dialogue) -> Decision:
    is_live = dialogue.mode is not ConversationMode.TURN_BASED and not dialogue.streams.is_degraded
    if is_live and (degradation := dialogue.streams.degradation_after(0)) is None:
        return OpenStream(dialogue.call_id, dialogue.attempt, generation=1)
    in_turns = _after_answer_in_turns(dialogue)
    if is_live and degradation is not None and not isinstance(in_turns, ReadRemainder):
        return Degrade(degradation, in_turns)
    return in_turns


def _after_answer_in_turns(dialogue: Dialogue) -> Instruction | ReadRemainder:
    if dialogue.has_failed_audio:
        if dialogue.remainder is None:
            return ReadRemainder(GREETING_TURN)
        if dialogue.remainder:
            return _speak(dialogue, GREETING_TURN, dialogue.remainder)
    return play(dialogue, GREETING_TURN)


def _after_utterance(dialogue: Dialogue, received: UtteranceReceived) -> Decision:
    is_person = is_person_after_machine(dialogue, received.utterance.text)
    if dialogue.claimed_turn is not None:
        if is_person:  # a crash may have prevented the report that a person has answered
            return ClaimTurn(dialogue.claimed_turn, received.utterance, is_of_person=True)
        return play(dialogue, dialogue.claimed_turn)
    if dialogue.message is not None and not is_person:
        return RestartMessage(dialogue.call_id, dialogue.attempt)
    if not received.utterance.text and not received.is_after_spoken_text and dialogue.has_failed_audio:
        if dialogue.remainder is None:
            return ReadRemainder(received.turn - 1)
        if dialogue.remainder:
            return _speak(dialogue, received.turn - 1, dialogue.remainder)
    if dialogue.has_ended:
        return HangUp()
    if dialogue.digits and not received.utterance.text and not received.utterance.key:
        return _press(dialogue)
    pending = dialogue.pending_transfer
    if pending and pending.turn == received.turn - 1 and not is_opt_out(received.utterance.text):
        return StartTransfer(pending, received.utterance.text)
    if received.utterance.key:
        return play(dialogue, received.turn - 1)
    return ClaimTurn(max(received.turn, dialogue.last_turn + 1), received.utterance, is_of_person=is_person)


def _after_machine(dialogue: Dialogue, awaited: MessageAwaited) -> Decision:
    """Plays the message, or speaks it if voice could not synthesize it. After its end, the line is closed.

    If the message was withdrawn meanwhile, the person on the line has spoken and hears the reply.
    """
    turn, sequence = dialogue.last_turn, dialogue.sequence_of(dialogue.last_turn)
    if dialogue.message is None:
        return play(dialogue, turn)
    line = (dialogue.call_id, dialogue.attempt, dialogue.language, turn)
    is_interruptible = not dialogue.is_after_beep
    if dialogue.has_failed_message and not awaited.is_after_spoken_text:
        return SpeakMessage(*line, dialogue.message, sequence, is_interruptible)
    return HangUp() if awaited.is_finished else PlayMessage(*line, sequence, is_interruptible)


def _after_stream(dialogue: Dialogue, generation: int) -> Decision:
    """Opens the next stream, or goes on in turns. The end of a conversation is the end of the call."""
    streams = dialogue.streams
    if loss := streams.reason_of_loss(generation):
        return ReportLoss(generation, loss)
    if dialogue.message is not None:
        return RestartMessage(dialogue.call_id, dialogue.attempt)
    if streams.is_over(generation, dialogue.last_turn, has_ended=dialogue.has_ended):
        return HangUp()
    if streams.is_unanswered(generation):  # in turns there would be no reply either
        return SpeakGoodbye(dialogue.language, unanswered_phrase(dialogue.language))
    if (pending := dialogue.pending_transfer) and streams.were_heard(generation, pending.turn):
        return StartTransfer(pending)
    return _next_stream(dialogue, generation)


def _next_stream(dialogue: Dialogue, generation: int) -> Decision:
    streams = dialogue.streams
    if streams.is_degraded:
        return _in_turns(dialogue)
    if (degradation := streams.degradation_after(generation)) is None:
        return streams.next_after(generation, dialogue.call_id, dialogue.attempt, dialogue.language)
    return Degrade(degradation, _in_turns(dialogue))


def _in_turns(dialogue: Dialogue) -> Instruction:
    """Returns the instruction that plays the last turn, or awaits the next one if the last one was heard."""
    if dialogue.last_turn not in dialogue.streams.played_turns:
        return play(dialogue, dialogue.last_turn)
    return _hearing_keys(dialogue, _listen(dialogue))


def _listen(dialogue: Dialogue) -> Listen:
    turn = dialogue.last_turn
    return Listen(dialogue.call_id, dialogue.attempt, dialogue.language, turn, dialogue.sequence_of(turn))


def _press(dialogue: Dialogue) -> SendDigits:
    turn, sequence = dialogue.last_turn, dialogue.sequence_of(dialogue.last_turn)
    press = PressKeys(dialogue.call_id, dialogue.attempt, dialogue.language, turn, dialogue.digits, sequence)
    return SendDigits(replace(press, hears_keys=dialogue.opt_out_key is not None))


def _after_transfer(dialogue: Dialogue, reported: TransferReported) -> Decision:
    """Hangs up after both have talked. Otherwise the result claims a turn, and the agent speaks about it."""
    if (decision := consequence_of(dialogue, reported)) is not None:
        return decision
    if dialogue.mode is not ConversationMode.TURN_BASED and not dialogue.streams.is_degraded:
        return _next_stream(dialogue, dialogue.streams.last_generation)
    return play(dialogue, dialogue.claimed_turn or dialogue.last_turn)


def _after_remainder(dialogue: Dialogue, reported: RemainderReported) -> Decision:
    if dialogue.last_turn > reported.turn:
        return play(dialogue, dialogue.last_turn)
    if dialogue.digits:
        return _press(dialogue)
    if dialogue.has_sent_digits:
        return _listen(dialogue)
    if dialogue.remainder is None:
        return ReadRemainder(reported.turn, reported.sentence)
    if dialogue.remainder:
        return _speak(dialogue, reported.turn, dialogue.remainder)
    if (pending := dialogue.pending_transfer) and not dialogue.has_ended:
        return StartTransfer(pending)
    if reported.sentence == 0:
        return play(dialogue, reported.turn)
    return _listen(dialogue)
