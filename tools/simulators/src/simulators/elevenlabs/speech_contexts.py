"""The contexts of one speech socket: text is buffered, generated in order, and sent as audio."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.elevenlabs.alignment import spoken_pieces
from simulators.elevenlabs.audio_formats import AudioFormat
from simulators.elevenlabs.clips import Clip, Clips
from simulators.elevenlabs.speech_messages import ClientMessage, GenerationConfig, audio_message, final_message
from simulators.elevenlabs.synthesis import MAX_CHARACTERS, ConcurrencyLimit, Refused
from simulators.elevenlabs.timing import SpeechTiming
from simulators.elevenlabs.usage import Usage


@dataclass(frozen=True)
class Voice:
    """What all contexts of a socket have in common."""

    voice_id: str
    output: AudioFormat
    is_auto_mode: bool


@dataclass
class Synthesizer:
    """The vendor's part that all sockets share. `speed` is the number of simulated seconds per real second."""

    clips: Clips
    limit: ConcurrencyLimit
    usage: Usage
    speed: float
    timing: SpeechTiming


@dataclass
class Context:
    """One context. Its texts are generated in order; None is the end."""

    context_id: str
    speed: float
    schedule: list[float]
    last_input_at: float
    buffer: str = ""
    generations: int = 0
    pending_characters: int = 0
    texts: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)

    @classmethod
    def begin(cls, message: ClientMessage, now: float) -> "Context":
        """Returns the context that this message opens."""
        settings = message.voice_settings
        config = message.generation_config or GenerationConfig()
        return cls(message.context_id, (settings and settings.speed) or 1.0, config.chunk_length_schedule, now)

    def append(self, text: str, *, is_flushed: bool) -> None:
        """Appends to the buffer; the whole buffer is generated if it is flushed or long enough.

        White space at the begin of a buffer is not spoken: a context begins with a single space. Raises Refused if too
        much text is pending.
        """
        self.buffer = (self.buffer + text) if self.buffer or text.strip() else ""
        if self.pending_characters + len(self.buffer) > MAX_CHARACTERS:
            raise Refused(400, "max_character_limit_exceeded", f"More than {MAX_CHARACTERS} characters are pending.")
        if not is_flushed and len(self.buffer) < self.schedule[min(self.generations, len(self.schedule) - 1)]:
            return
        taken, self.buffer = self.buffer, ""
        if taken:
            self.generations += 1
            self.pending_characters += len(taken)
            self.texts.put_nowait(taken)

    async def next_text(self) -> str | None:
        """Returns the next text to generate, or None after the last one of a closed context."""
        if (text := await self.texts.get()) is not None:
            self.pending_characters -= len(text)
        return text


class Contexts:
    """The open contexts of one socket, by id, and those that are closed but not spoken to their end.

    `send` sends a message to the client; `fail` is called if a generation is refused.
    """

    def __init__(
        self,
        voice: Voice,
        synthesizer: Synthesizer,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        fail: Callable[[Exception], Awaitable[None]],
    ) -> None:
        self._voice, self._synthesizer = voice, synthesizer
        self._send, self._fail = send, fail
        self._open: dict[str, Context] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, context_id: str) -> Context | None:
        """Returns the open context of this id."""
        return self._open.get(context_id)

    def begin(self, message: ClientMessage, now: float) -> Context:
        """Opens a context."""
        context = Context.begin(message, now)
        self._open[context.context_id] = context
        task = asyncio.create_task(self._run(context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return context

    def speak(self, context: Context, text: str, *, is_flushed: bool) -> None:
        """Speaks the text in this context, now or with what follows it. Raises Refused."""
        context.append(text, is_flushed=is_flushed or self._voice.is_auto_mode)

    def close(self, context_id: str) -> None:
        """Closes a context: what was flushed is spoken to its end, the rest of the buffer is not."""
        if (context := self._open.pop(context_id, None)) is not None:
            context.texts.put_nowait(None)

    def close_inactive(self, since: float) -> None:
        """Closes the contexts without input since this time."""
        for context in [context for context in self._open.values() if context.last_input_at <= since]:
            self.close(context.context_id)

    def oldest_input_at(self, last_input_at: float) -> float:
        """Returns when the context that is closest to its inactivity timeout had input, or `last_input_at`."""
        return min((context.last_input_at for context in self._open.values()), default=last_input_at)

    async def finish(self) -> None:
        """Closes all contexts; returns when they are spoken to their end."""
        for context_id in list(self._open):
            self.close(context_id)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def abandon(self) -> None:
        """Stops all generations."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, context: Context) -> None:
        try:
            with self._synthesizer.usage.context():
                while (text := await context.next_text()) is not None:
                    await self._generate(context, text)
            await self._send(final_message(context.context_id))
        except Exception as error:  # noqa: BLE001 - the socket decides: a refusal is sent, a lost client is ignored
            await self._fail(error)

    async def _generate(self, context: Context, text: str) -> None:
        shared = self._synthesizer
        shared.limit.acquire()
        try:
            shared.usage.characters += len(text)
            loop = asyncio.get_running_loop()
            due = loop.time() + shared.timing.first_audio_seconds / shared.speed
            async for piece in spoken_pieces(shared.clips, self._clip(context, text)):
                await asyncio.sleep(due - loop.time())
                await self._send(audio_message(context.context_id, piece))
                due += piece.seconds * shared.timing.real_time_factor / shared.speed
        finally:
            shared.limit.release()

    def _clip(self, context: Context, text: str) -> Clip:
        return Clip(text, self._voice.voice_id, self._voice.output, context.speed)
