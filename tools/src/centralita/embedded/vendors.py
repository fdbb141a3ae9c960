"""The vendors of a run: the real one if its settings are given, otherwise its simulator."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from centralita.embedded.servers import CannotStart

REQUIRED_SETTINGS = {
    "twilio": ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"),
    "elevenlabs": ("ELEVENLABS_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
}
SIMULATED_SETTINGS = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 31 + "1",
    "TWILIO_AUTH_TOKEN": "simulated-auth-token",
    "TWILIO_PHONE_NUMBER": "+12125550100",
    "ELEVENLABS_API_KEY": "simulated-key",
    "ELEVENLABS_DEFAULT_VOICE": "21m00Tcm4TlvDq8ikWAM",
    "ELEVENLABS_MAX_CONCURRENCY": "20",
    "OPENAI_API_KEY": "simulated-key",
}
ANY_TIME = str(Path(__file__).with_name("any_time.csv"))
"""`CALLING_RULES` of a run with the simulator of Twilio, unless another file is given: every hour is permitted."""
START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Vendors:
    """The vendors' settings for the services (`environment`), and the names of the real and the simulated vendors.

    `control` is the address of the Twilio simulator with its ledger, None with the real Twilio.
    """

    environment: dict[str, str]
    real: tuple[str, ...]
    simulated: tuple[str, ...]
    control: str | None


def real_vendors(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the vendors whose settings are complete. Raises CannotStart if only some of a vendor's are given."""
    real = []
    for vendor, names in REQUIRED_SETTINGS.items():
        given = [name for name in names if environment.get(name)]
        if given and len(given) < len(names):
            missing = ", ".join(name for name in names if name not in given)
            raise CannotStart(f"{vendor}: {', '.join(given)} is set but {missing} is not; set all of them or none")
        if given:
            real.append(vendor)
    if "twilio" in real and not environment.get("APP_BASE_URL", "").startswith("https://"):
        raise CannotStart("APP_BASE_URL: Twilio must reach this machine; set it to your public https:// address")
    if "elevenlabs" in real and not environment.get("ELEVENLABS_DEFAULT_VOICE"):
        raise CannotStart("ELEVENLABS_DEFAULT_VOICE: set it to the id of a voice of your account")
    return tuple(real)


@asynccontextmanager
async def vendors(
    environment: Mapping[str, str],
    *,
    seed: int,
    speed: float,
    log: Path,
    behaviours: str | None = None,
    recordings: Path | None = None,
) -> AsyncIterator[Vendors]:
    """Runs the simulators of the vendors that are not real during the block. Raises CannotStart.

    `recordings`: a folder for the audio of each live call.
    """
    real = real_vendors(environment)
    simulated = tuple(name for name in REQUIRED_SETTINGS if name not in real)
    settings = {name: value for name, value in environment.items() if name.split("_")[0].lower() in REQUIRED_SETTINGS}
    if not simulated:
        yield Vendors(settings, real, simulated, None)
        return
    command = [sys.executable, "-m", "simulators", "--seed", str(seed), "--speed", str(speed)]
    command += ["--behaviours", behaviours] if behaviours else []
    command += ["--recordings", str(recordings)] if recordings else []
    child = {**environment, **{k: v for k, v in SIMULATED_SETTINGS.items() if k.split("_")[0].lower() in simulated}}
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, env=child, stdout=asyncio.subprocess.PIPE, stderr=errors, start_new_session=True
        )
    try:
        urls = await _urls(process, log)
        for vendor in simulated:
            settings |= {k: v for k, v in SIMULATED_SETTINGS.items() if k.startswith(vendor.upper())}
            if vendor == "twilio":  # Twilio's own limit, one dial a second, in simulated time
                settings.setdefault("TWILIO_CALLS_PER_SECOND", f"{speed:g}")
            settings[f"{vendor.upper()}_BASE_URL"] = urls[vendor]
        yield Vendors(settings, real, simulated, urls["twilio"] if "twilio" in simulated else None)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _urls(process: asyncio.subprocess.Process, log: Path) -> dict[str, str]:
    assert process.stdout is not None  # noqa: S101  stdout is a pipe
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        return dict(json.loads(line))
    except (TimeoutError, ValueError) as error:
        raise CannotStart(f"the simulators did not start: {log.read_text(errors='replace')[-500:]}") from error
