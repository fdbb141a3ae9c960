"""The master key in the environment of a command, or in a file of settings."""

from pathlib import Path
from typing import Annotated, Any

import typer
from nats.aio.client import Client
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.operations.doctor.settings import run_settings_file
from chassis.keyring import Keyring
from chassis.settings import SecretKey, master_key_of
from sealing import MasterKey

EnvFile = Annotated[
    Path | None, typer.Option("--env-file", exists=True, dir_okay=False, help="a file with settings, such as .env")
]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    master_key: SecretKey | None = None
    former_master_key: SecretKey | None = None


def keyring_of(client: Client, nats_url: str) -> Keyring | None:
    """Returns a keyring that reads keys, or None if MASTER_KEY is not set. Raises CommandFailed."""
    master_key = read_master_key(nats_url, None)
    return Keyring(client, master_key) if master_key else None


def read_master_key(nats_url: str, env_file: Path | None) -> MasterKey | None:
    """Returns the master key and its former one, or None if MASTER_KEY is not set. Raises CommandFailed.

    Without `env_file`, the settings of the `centralita up` in this folder are read, if `nats_url` is that of its NATS.
    """
    settings: Any = _Settings
    try:
        found: _Settings = settings(_env_file=env_file or run_settings_file(nats_url))
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        name = str(detail["loc"][0]).upper()
        message = detail["msg"].removeprefix("Value error, ")
        raise CommandFailed(f"{name}: {message}", ExitCode.WRONG_USE) from None
    return master_key_of(found.master_key, found.former_master_key) if found.master_key else None
