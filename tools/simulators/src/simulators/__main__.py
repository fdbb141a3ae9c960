"""`python -m simulators`: serves the three vendors until SIGTERM or SIGINT.

Prints one line of JSON with the three base URLs when all of them listen. Reads credentials from the environment:
TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (fictional ones if unset), ELEVENLABS_API_KEY and OPENAI_API_KEY (any key is
accepted if unset).
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from simulators.server import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN, running


def _weights(text: str) -> dict[str, float]:
    """Parses `human=0.6,busy=0.1` into weights by name."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): float(weight) for name, _, weight in pairs}


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulators", description="Serve simulated Twilio, ElevenLabs and OpenAI.")
    parser.add_argument("--seed", type=int, default=1, help="random seed; the same seed gives the same run")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    for vendor in ("twilio", "elevenlabs", "openai"):
        parser.add_argument(f"--{vendor}-port", type=int, default=0, help="0: a free port")
    parser.add_argument("--behaviours", type=_weights, help="weights of the callees' behaviours: human=0.6,busy=0.1")
    parser.add_argument("--language", choices=("en", "es"), default="en", help="of callees on media streams")
    parser.add_argument(
        "--speech-program",
        default=os.environ.get("SPEECH_PROGRAM") or None,
        help="command line of a program that speaks; default: SPEECH_PROGRAM, or else tones",
    )
    parser.add_argument("--recordings", type=Path, help="folder for a WAV file and a JSON document of each live call")
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with running(
        **vars(arguments),
        twilio_account_sid=environ.get("TWILIO_ACCOUNT_SID") or DEFAULT_ACCOUNT_SID,
        twilio_auth_token=environ.get("TWILIO_AUTH_TOKEN") or DEFAULT_AUTH_TOKEN,
        elevenlabs_api_key=environ.get("ELEVENLABS_API_KEY") or None,
        openai_api_key=environ.get("OPENAI_API_KEY") or None,
    ) as simulators:
        print(json.dumps(simulators.as_json()), flush=True)
        await stopped.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until a signal. Returns 0 after a signal, 2 if the simulators cannot start."""
    try:
        uvloop.run(_serve(_parse_arguments(argv), os.environ))
    except (OSError, ValueError) as error:
        print(f"simulators: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
