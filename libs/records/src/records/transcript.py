"""What was said in a call, line by line, from its events.

A live conversation can end a reply before its end. The line of such a reply has the words that were heard of it. It
stands where the reply was interrupted, also if its text was complete later.
"""

from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from contracts import (
    AudioFailed,
    AudioReady,
    AudioRequested,
    Call,
    ConversationEnded,
    Event,
    KeysPressed,
    ReplyGenerated,
    SpeechFallback,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    TransferEnded,
    TransferStarted,
)
from contracts.phrases import greeting_of
from contracts.transfers import transfer_words


class ConversationLine(BaseModel):
    """One utterance or reply, pressed keys, how a transfer ended, or how the conversation did."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    attempt: int
    turn: int
    speaker: str = Field(
        description="agent, callee, keys for those that the callee pressed, transfer, or end for the disposition"
    )
    text: str = Field(description="empty: silence")
    heard: str | None = Field(
        default=None,
        description="live: what the callee heard of a reply that was interrupted; empty: nothing; null: all of it",
    )


def unheard_of(text: str, heard: str) -> str:
    """Returns the words of a reply that follow those that were heard. Spaces may differ between the two texts."""
    if text.startswith(heard):
        return text[len(heard) :].strip()
    return " ".join(text.split()[len(heard.split()) :])


_Spoken = (
    AudioReady
    | AudioFailed
    | AudioRequested
    | SpeechHeard
    | SpeechInterrupted
    | SpeechPlayed
    | ReplyGenerated
    | KeysPressed
    | TransferEnded
    | TransferStarted
    | ConversationEnded
)


@dataclass(slots=True)
class Transcript:
    """The lines up to some event."""

    _lines: list[ConversationLine] = field(default_factory=list)
    _replies: dict[tuple[int, int], int] = field(default_factory=dict)
    """The number of the last line of the agent in each turn of each attempt."""

    def lines(self) -> list[ConversationLine]:
        """Returns the lines with the last greeting only.

        A change of the call requests it anew, and only that is played.
        """
        greetings = [line for line in self._lines if line.turn == 0 and line.speaker == "agent"]
        return [line for line in self._lines if line not in greetings[:-1]]

    def add(self, event: Event, at: datetime, call: Call | None) -> None:
        """Adds what the next event says. `call`: as it was before the event."""
        match event:
            case AudioReady() | AudioFailed() | SpeechPlayed(turn=0) | SpeechInterrupted(turn=0) if call:
                self._add_greeting(event, at, call)
            case AudioRequested(turn=0):
                self._add(at, event, "agent", event.text)
            case SpeechHeard():
                self._add_utterance(at, event)
            case ReplyGenerated():
                self._add_reply(at, event)
            case KeysPressed():
                self._add(at, event, "keys", event.keys)
            case TransferStarted() if event.words:
                self._add(at, event, "callee", event.words)
            case TransferEnded():
                text = f"{event.destination}: {transfer_words(event.status)}"
                self._add(at, event, "transfer", text)
            case ConversationEnded():
                self._add(at, event, "end", str(event.disposition))
        match event:
            case SpeechInterrupted():
                self._set_heard(at, event, event.heard)
            case SpeechPlayed(is_complete=True):
                self._set_heard(at, event, None)

    def _add(self, at: datetime, event: _Spoken, speaker: str, text: str) -> None:
        line = ConversationLine(at=at, attempt=event.attempt, turn=event.turn, speaker=speaker, text=text)
        if speaker == "agent":
            self._replies[line.attempt, line.turn] = len(self._lines)
        self._lines.append(line)

    def _add_greeting(
        self, event: AudioReady | AudioFailed | SpeechPlayed | SpeechInterrupted, at: datetime, call: Call
    ) -> None:
        """Adds the line of a greeting that was played, or left to the provider's voice, for the first time.

        In a log of an older build, the line is that of its `audio.requested`, which has attempt 0 in the oldest ones.
        """
        is_spoken = not isinstance(event, AudioFailed) or event.fallback == SpeechFallback.SAY
        if event.turn == 0 and is_spoken and self._reply_to(event) is None:
            self._add(at, event, "agent", greeting_of(call))

    def _add_utterance(self, at: datetime, event: SpeechHeard) -> None:
        """Adds an utterance. Keys or a transfer that became a turn (`[keys: 1 2]`) keep their line, in this turn."""
        last = self._lines[-1] if self._lines else None
        is_of_keys = last and last.speaker == "keys" and event.text == f"[keys: {' '.join(last.text)}]"
        if is_of_keys or (last and last.speaker == "transfer" and event.text == f"[transfer {last.text}]"):
            self._change(len(self._lines) - 1, turn=event.turn)
        else:
            self._add(at, event, "callee", event.text)

    def _add_reply(self, at: datetime, event: ReplyGenerated) -> None:
        """Adds a reply; one that was interrupted before it was complete has a line already."""
        number = self._reply_to(event)
        if number is not None and self._lines[number].heard is not None:
            self._change(number, text=event.text)
        else:
            self._add(at, event, "agent", event.text)

    def _set_heard(self, at: datetime, event: SpeechInterrupted | SpeechPlayed, heard: str | None) -> None:
        """Sets what was heard of the reply of a turn. Without a line of it, the words that were heard become one."""
        number = self._reply_to(event)
        if number is None and isinstance(event, SpeechInterrupted):
            self._add(at, event, "agent", event.heard)
            number = len(self._lines) - 1
        if number is not None:
            self._change(number, heard=heard)

    def _change(self, number: int, **fields: str | int | None) -> None:
        self._lines[number] = self._lines[number].model_copy(update=fields)

    def _reply_to(self, event: _Spoken) -> int | None:
        """Returns the number of the agent's line in the turn. The greetings of the oldest logs have attempt 0."""
        number = self._replies.get((event.attempt, event.turn))
        return self._replies.get((0, 0)) if number is None and event.turn == 0 else number
