"""The line as the callee hears it: spoken text, downloaded audio, pauses, and the callee's interruptions."""

import math

from simulators.twilio.call import Call
from simulators.twilio.call_clock import CallOver
from simulators.twilio.ledger import PlayEntry, UtteranceEntry
from simulators.twilio.playback import Playback
from simulators.twilio.webhooks import Webhooks

CHARACTERS_PER_SECOND = 14.0
_NO_TIME = 1e-6


class BargedIn(Exception):
    """The callee began to speak while a prompt was sounding."""


class Line:
    """What sounds on a call. `barges_in_after`: seconds of sound until the callee speaks over it."""

    def __init__(self, call: Call, webhooks: Webhooks) -> None:
        self.barges_in_after = math.inf
        self._call, self._webhooks = call, webhooks

    async def say(self, text: str) -> None:
        """Speak a text. Raises BargedIn and CallOver."""
        self._call.entry.said.append(UtteranceEntry("agent", text=text))
        await self.sound(len(text) / CHARACTERS_PER_SECOND)

    async def sound(self, seconds: float) -> None:
        """Let `seconds` of sound be heard. Raises BargedIn and CallOver."""
        heard = min(seconds, self._attention())
        await self._call.clock.sleep(heard)
        self._heard(heard)

    async def play(self, url: str) -> None:
        """Download audio, and let it be heard from its first byte on. Raises BargedIn and CallOver.

        Audio that cannot be had is noted as an error and passed over (a reading: Twilio's documents do
        not say). An interruption abandons the download.
        """
        play = PlayEntry(url)
        self._call.entry.plays.append(play)
        self._call.entry.said.append(UtteranceEntry("agent", url=url))
        try:
            heard = await Playback(self._call, self._webhooks, play).run(self._attention())
            self._heard(heard)
        finally:
            if play.outcome == "playing":
                play.outcome = "interrupted"

    def _attention(self) -> float:
        return min(self._call.callee.hears_out, self.barges_in_after, self._call.clock.left())

    def _heard(self, seconds: float) -> None:
        self._call.callee.hears_out -= seconds
        self.barges_in_after -= seconds
        self._call.clock.check()
        if self._call.callee.hears_out <= _NO_TIME:
            raise CallOver("callee")
        if self.barges_in_after <= _NO_TIME:
            raise BargedIn
