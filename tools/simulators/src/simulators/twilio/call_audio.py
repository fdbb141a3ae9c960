"""The sound that the callee hears: spoken text and downloaded audio, until the callee interrupts or hangs up."""

import math

from simulators.twilio.call import Call
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.ledger import PlayEntry, UtteranceEntry
from simulators.twilio.playback import Playback
from simulators.twilio.webhooks import Webhooks

CHARACTERS_PER_SECOND = 14.0
_EPSILON_SECONDS = 1e-6


class BargeIn(Exception):
    """The callee began to speak during a prompt."""


class CallAudio:
    """Plays sound on a call. `barge_in_seconds` is the sound that remains until the callee interrupts."""

    def __init__(self, call: Call, webhooks: Webhooks) -> None:
        self.barge_in_seconds = math.inf
        self._call, self._webhooks = call, webhooks

    async def speak(self, text: str) -> None:
        """Speaks a text. Raises BargeIn and CallEnded."""
        self._call.entry.utterances.append(UtteranceEntry("agent", text=text))
        await self.play_for(len(text) / CHARACTERS_PER_SECOND)

    async def play_for(self, seconds: float) -> None:
        """Plays sound of this length. Raises BargeIn and CallEnded."""
        heard_seconds = min(seconds, self._max_seconds())
        await self._call.clock.sleep(heard_seconds)
        self._count(heard_seconds)

    async def play(self, url: str) -> None:
        """Downloads audio and plays it from its first byte on. Raises BargeIn and CallEnded.

        Audio that cannot be downloaded is recorded as an error and skipped (an assumption: Twilio's documentation
        does not cover it). An interruption abandons the download.
        """
        play = PlayEntry(url)
        self._call.entry.plays.append(play)
        self._call.entry.utterances.append(UtteranceEntry("agent", url=url))
        try:
            self._count(await Playback(self._call, self._webhooks, play).run(self._max_seconds()))
        finally:
            if play.outcome == "playing":
                play.outcome = "interrupted"

    def _max_seconds(self) -> float:
        return min(self._call.callee.listening_seconds, self.barge_in_seconds, self._call.clock.remaining())

    def _count(self, heard_seconds: float) -> None:
        self._call.callee.listening_seconds -= heard_seconds
        self.barge_in_seconds -= heard_seconds
        self._call.clock.check()
        if self._call.callee.listening_seconds <= _EPSILON_SECONDS:
            raise CallEnded("callee")
        if self.barge_in_seconds <= _EPSILON_SECONDS:
            raise BargeIn
