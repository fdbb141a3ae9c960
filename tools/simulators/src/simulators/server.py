"""The three vendors in one process. Each listens on its own port, behind the same fault plan."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulators import elevenlabs, openai, tone_speech, twilio
from simulators.elevenlabs.timing import Timing
from simulators.elevenlabs.usage import Usage
from simulators.faults import FaultPlan
from simulators.serving import serving
from simulators.speech_program import SpeechProgram
from simulators.spoken_words import SpokenWords
from simulators.tone_speech import Speak
from simulators.twilio.callee_phrases import Language
from simulators.twilio.ledger import Ledger
from simulators.twilio.stream_settings import StreamSettings

DEFAULT_ACCOUNT_SID = "AC" + "0" * 31 + "1"
DEFAULT_AUTH_TOKEN = "simulated-auth-token"  # noqa: S105 - valid at the simulator only


@dataclass(frozen=True)
class Simulators:
    """The running simulators. Each URL is the base URL for the vendor's SDK (OpenAI's ends in /v1).

    The base URL of ElevenLabs' WebSockets is the same, with the scheme ws.
    """

    twilio_url: str
    elevenlabs_url: str
    openai_url: str
    faults: FaultPlan
    ledger: Ledger
    usage: Usage

    def as_json(self) -> dict[str, str]:
        """Returns the base URL of each vendor."""
        return {"twilio": self.twilio_url, "elevenlabs": self.elevenlabs_url, "openai": self.openai_url}


@contextlib.asynccontextmanager
async def running(
    *,
    seed: int = 1,
    speed: float = 1.0,
    twilio_account_sid: str = DEFAULT_ACCOUNT_SID,
    twilio_auth_token: str = DEFAULT_AUTH_TOKEN,
    elevenlabs_api_key: str | None = None,
    openai_api_key: str | None = None,
    elevenlabs_concurrency: int = elevenlabs.DEFAULT_CONCURRENCY,
    elevenlabs_timing: Timing | None = None,
    host: str = "127.0.0.1",
    twilio_port: int = 0,
    elevenlabs_port: int = 0,
    openai_port: int = 0,
    behaviours: Mapping[str, float] | None = None,
    language: Language = "en",
    recordings: Path | None = None,
    speech_program: str | None = None,
) -> AsyncIterator[Simulators]:
    """Runs the three simulators while the block runs.

    Port 0 selects a free port; a key of None accepts any key. `speed` is the number of simulated seconds per real
    second. `behaviours` are the weights of the callees' behaviours. Callees on media streams speak `language`; their
    calls are recorded in the folder `recordings`. `speech_program` is the command line of a program that speaks for
    all (`simulators.speech_program`); without one, tones are heard. Raises ValueError for an unknown behaviour or a
    speed that is not positive, OSError for a port in use or a program that cannot be started.
    """
    if speed <= 0:
        raise ValueError("speed must be greater than 0")
    faults = FaultPlan(seed)
    spoken_words = SpokenWords()
    with _speaking(speech_program, language) as callees, _speaking(speech_program, language) as agents:
        telephony = twilio.create_app(
            account_sid=twilio_account_sid,
            auth_token=twilio_auth_token,
            seed=seed,
            speed=speed,
            behaviours=behaviours,
            faults=faults,
            streams=StreamSettings(spoken_words, language, recordings, callees),
        )
        speech = elevenlabs.create_app(
            speed=speed,
            api_key=elevenlabs_api_key,
            concurrency=elevenlabs_concurrency,
            seed=seed,
            timing=elevenlabs_timing,
            words=spoken_words,
            speak=agents,
        )
        model = openai.create_app(seed=seed, speed=speed, api_key=openai_api_key)
        async with (
            serving(faults.middleware("elevenlabs", speech), host, elevenlabs_port) as elevenlabs_url,
            serving(faults.middleware("openai", model), host, openai_port) as openai_url,
            serving(faults.middleware("twilio", telephony), host, twilio_port) as twilio_url,
        ):
            yield Simulators(
                twilio_url, elevenlabs_url, f"{openai_url}/v1", faults, telephony.state.ledger, speech.state.usage
            )


@contextlib.contextmanager
def _speaking(program: str | None, language: str) -> Iterator[Speak]:
    """Yields what speaks during the block. Callees and agents have one each, so that neither waits for the other."""
    if program is None:
        yield tone_speech.speak
        return
    speaking = SpeechProgram(program, language)
    try:
        yield speaking.speak
    finally:
        speaking.close()
