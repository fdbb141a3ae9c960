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
- After the end of the conversation a new utterance claims nothing: the instruction is to hang up.

Silence
-------
A silence is an utterance without text and claims a turn like any other, with one exception. If voice could not
synthesize the rest of the reply, the callee is silent because the line was. The provider's own voice then speaks the
unplayed remainder, and the same turn is awaited again. A silence after that is a real one.

Reading the remainder takes time. `decide` therefore returns `ReadRemainder` only when it needs the text, and is called
again with it, at most once.
"""

from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

from contracts.vocabulary import CallStatus
from telephony.instructions import (
    GREETING_TURN,
    HangUp,
    Instruction,
    Listen,
    PlayGreeting,
    PlayTurn,
    SpeakText,
    Utterance,
)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The state of a call, as far as the next instruction depends on it. Read from the log."""

    call_id: UUID
    language: str
    attempt: int
    """The number of the call's last attempt."""
    status: CallStatus
    is_line_open: bool
    """Whether this attempt is live and no hang-up was requested."""
    last_turn: int = GREETING_TURN
    """The last turn that this attempt's utterances have claimed."""
    claimed_turn: int | None = None
    """The turn that this very utterance claimed earlier; none if it is new."""
    has_ended: bool = False
    """Whether the conversation of this attempt has ended."""
    has_failed_audio: bool = False
    """Whether voice has failed to synthesize any sentence of the call."""
    remainder: str | None = None
    """The unplayed remainder that `ReadRemainder` requested: empty if nothing is unplayed, none if it was not read."""
    last_turn_sequence: int = 0
    """The sequence of the `speech.heard` of `last_turn`; 0: the greeting has none."""
    claimed_turn_sequence: int = 0
    """The sequence of the `speech.heard` of `claimed_turn`."""

    def sequence_of(self, turn: int) -> int:
        """Returns the sequence of the turn's `speech.heard`, or 0 if it is not known."""
        if turn == self.claimed_turn:
            return self.claimed_turn_sequence
        return self.last_turn_sequence if turn == self.last_turn else 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The callee has answered."""

    attempt: int


@dataclass(frozen=True, slots=True)
class UtteranceReceived:
    """The callee has spoken, or stayed silent. `turn` is the turn that the webhook names."""

    attempt: int
    turn: int
    utterance: Utterance
    is_after_spoken_text: bool
    """Whether all of the reply before was played or spoken: the last instruction was `SpeakText` or `Listen`."""
    after_sequence: int = 0
    """The sequence that the URL names for the turn before; 0: none."""

    @property
    def known_turn(self) -> int:
        """The turn whose `speech.heard` has `after_sequence`."""
        return self.turn - 1


@dataclass(frozen=True, slots=True)
class RemainderReported:
    """Voice could not synthesize `turn` from `sentence` on and has redirected the call."""

    attempt: int
    turn: int
    sentence: int
    after_sequence: int = 0
    """The sequence that the URL names for the turn; 0: none."""

    @property
    def known_turn(self) -> int:
        """The turn whose `speech.heard` has `after_sequence`."""
        return self.turn


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A person has sent a text over REST in place of an utterance. It belongs to the call's last attempt."""

    utterance: Utterance


Occurrence = Answered | UtteranceReceived | RemainderReported | TextReceived


@dataclass(frozen=True, slots=True)
class ClaimTurn:
    """Append `speech.heard` at `turn`; its reply is played next."""

    turn: int
    utterance: Utterance


@dataclass(frozen=True, slots=True)
class ReadRemainder:
    """Read the unplayed remainder of `turn`, then decide again. No `sentence`: from the first unplayed one, if any."""

    turn: int
    sentence: int | None = None


@dataclass(frozen=True, slots=True)
class RefuseText:
    """Refuse a text: no conversation is in progress."""


Decision = Instruction | ClaimTurn | ReadRemainder | RefuseText


def decide(dialogue: Dialogue, occurrence: Occurrence) -> Decision:
    """Returns what to do next on the line of a call."""
    match occurrence:
        case TextReceived():
            return _after_text(dialogue, occurrence)
        case _ if not dialogue.is_line_open or occurrence.attempt != dialogue.attempt:
            return HangUp()
        case Answered():
            return _after_answer(dialogue)
        case UtteranceReceived():
            return _after_utterance(dialogue, occurrence)
        case RemainderReported():
            return _after_remainder(dialogue, occurrence)
        case _:
            assert_never(occurrence)


def play(dialogue: Dialogue, turn: int) -> Instruction:
    """Returns the instruction that plays a turn."""
    if turn == GREETING_TURN:
        return PlayGreeting(dialogue.call_id, dialogue.attempt, dialogue.language)
    return PlayTurn(dialogue.call_id, dialogue.attempt, dialogue.language, turn, dialogue.sequence_of(turn))


def _speak(dialogue: Dialogue, turn: int, text: str) -> Instruction:
    sequence = dialogue.sequence_of(turn)
    return SpeakText(dialogue.call_id, dialogue.attempt, dialogue.language, turn, text, sequence)


def _after_text(dialogue: Dialogue, received: TextReceived) -> Decision:
    is_talking = dialogue.is_line_open and dialogue.status is CallStatus.IN_PROGRESS and not dialogue.has_ended
    return ClaimTurn(dialogue.last_turn + 1, received.utterance) if is_talking else RefuseText()


def _after_answer(dialogue: Dialogue) -> Decision:
    if dialogue.has_failed_audio:
        if dialogue.remainder is None:
            return ReadRemainder(GREETING_TURN)
        if dialogue.remainder:
            return _speak(dialogue, GREETING_TURN, dialogue.remainder)
    return play(dialogue, GREETING_TURN)


def _after_utterance(dialogue: Dialogue, received: UtteranceReceived) -> Decision:
    if dialogue.claimed_turn is not None:
        return play(dialogue, dialogue.claimed_turn)
    if not received.utterance.text and not received.is_after_spoken_text and dialogue.has_failed_audio:
        if dialogue.remainder is None:
            return ReadRemainder(received.turn - 1)
        if dialogue.remainder:
            return _speak(dialogue, received.turn - 1, dialogue.remainder)
    if dialogue.has_ended:
        return HangUp()
    return ClaimTurn(max(received.turn, dialogue.last_turn + 1), received.utterance)


def _after_remainder(dialogue: Dialogue, reported: RemainderReported) -> Decision:
    if dialogue.last_turn > reported.turn:
        return play(dialogue, dialogue.last_turn)
    if dialogue.remainder is None:
        return ReadRemainder(reported.turn, reported.sentence)
    if dialogue.remainder:
        return _speak(dialogue, reported.turn, dialogue.remainder)
    if reported.sentence == 0:
        return play(dialogue, reported.turn)
    sequence = dialogue.sequence_of(reported.turn)
    return Listen(dialogue.call_id, dialogue.attempt, dialogue.language, reported.turn, sequence)
