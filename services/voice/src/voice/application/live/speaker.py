"""What says the replies of one live call, and what it reports. `speaking` plays audio, `relay_speaking` sends text."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from contracts import SentenceAudio
from voice.application.speech.synthesis import Sentence
from voice.domain.live.playout import Heard, Playing
from voice.domain.turns import SentenceOrder

PUMP_SECONDS = 0.1
"""How often audio is sent: one message has up to 100 ms of it, five frames. Each message costs CPU."""


@dataclass
class Reply:
    """The reply of one turn, and when its parts came; instants of the running loop's clock."""

    turn: int
    first_sentence: int = 0
    """The sentences before it were heard on an earlier stream."""
    order: SentenceOrder[Sentence] = field(default_factory=SentenceOrder)
    sentences: dict[int, Sentence] = field(default_factory=dict)
    audio: dict[int, SentenceAudio] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    heard: set[int] = field(default_factory=set)
    """The sentences that were heard to their end."""
    requested_at: float | None = None
    audible_at: float | None = None
    sent_at: float | None = None
    is_declared_complete: bool = False
    is_over: bool = False
    """Whether it was heard to its end, or was interrupted."""

    @property
    def last_text(self) -> str:
        """The text of its last sentence so far; empty: it has none."""
        return self.sentences[max(self.sentences)].event.text if self.sentences else ""

    @property
    def is_heard(self) -> bool:
        """Whether all of it was heard, as far as it is known."""
        return all(number < self.first_sentence or number in self.heard for number in self.sentences)


class Listener(Protocol):
    """Is called when something happens to a reply."""

    def on_sentence_heard(self, reply: Reply, sentence: Sentence, audio: SentenceAudio) -> None:
        """A sentence was heard to its end."""
        ...

    def on_reply_heard(self, reply: Reply) -> None:
        """A reply was heard to its end."""
        ...

    def on_sentence_failed(self, reply: Reply, sentence: Sentence, reason: str) -> None:
        """A sentence cannot be synthesized."""
        ...


class Speaker(Protocol):
    """Says the replies of one call. `pump` must be called every `PUMP_SECONDS`."""

    reply: Reply
    """The newest one."""

    @property
    def underruns(self) -> int:
        """How often audio was due to be sent and was not there."""
        ...

    def begin(self, turn: int, first_sentence: int = 0) -> None:
        """Begins the reply of a turn. What is left of the one before must have been interrupted."""
        ...

    def add(self, sentence: Sentence, *, is_interruptible: bool = True) -> None:
        """Adds a requested sentence of the newest turn; out of order, or twice, does no harm."""
        ...

    def add_filler(self, sentence: Sentence) -> None:
        """Says a phrase that belongs to no reply."""
        ...

    def press_keys(self, digits: str) -> None:
        """Presses keys behind the newest reply. Nothing that the callee says interrupts that."""
        ...

    def close(self, count: int) -> None:
        """Declares how many sentences the newest reply has."""
        ...

    def playing(self) -> Playing | None:
        """Returns what the callee hears now; none if the line is silent."""
        ...

    def is_audible(self) -> bool:
        """Returns whether the callee hears our speech now, or would without a pause."""
        ...

    def heard(self) -> Heard | None:
        """Returns what was heard of the reply that is being heard, or was heard last."""
        ...

    def pause(self) -> None:
        """Stops the sound; `resume` or `interrupt` follows."""
        ...

    def resume(self) -> None:
        """Continues after a pause."""
        ...

    def interrupt(self) -> Heard:
        """Ends the newest reply, and returns what was heard of it."""
        ...

    def pump(self) -> None:
        """Does what is due now."""
        ...

    def is_line_stalled(self) -> bool:
        """Returns whether the provider does not play what it receives."""
        ...

    async def aclose(self) -> None:
        """Cancels what is in progress."""
        ...


BuildSpeaker = Callable[[Listener], Speaker]
"""Returns a speaker that reports to the listener."""
