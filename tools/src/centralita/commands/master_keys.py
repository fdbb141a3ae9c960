"""The secret keys in the environment of a command, or in a file of settings."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from nats.aio.client import Client
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.operations.doctor.settings import run_settings_file
from chassis.keyring import Keyring
from chassis.settings import SecretKey, key_bytes, master_key_of
from contracts.number_digests import NumberDigests
from sealing import MasterKey

EnvFile = Annotated[
    Path | None, typer.Option("--env-file", exists=True, dir_okay=False, help="a file with settings, such as .env")
]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    master_key: SecretKey | None = None
    former_master_key: SecretKey | None = None
    number_digest_key: SecretKey | None = None
    tool_signing_key: SecretKey | None = None


S = TypeVar("S", bound=BaseSettings)


def keyring_of(client: Client, nats_url: str) -> Keyring | None:
    """Returns a keyring that reads keys, or None if MASTER_KEY is not set. Raises CommandFailed."""
    master_key = read_master_key(nats_url, None)
    return Keyring(client, master_key) if master_key else None


def read_master_key(nats_url: str, env_file: Path | None) -> MasterKey | None:
    """Returns the master key and its former one, or None if MASTER_KEY is not set. Raises CommandFailed.

    Without `env_file`, the settings of the `centralita up` in this folder are read, if `nats_url` is that of its NATS.
    """
    found = read_settings(_Settings, nats_url, env_file)
    return master_key_of(found.master_key, found.former_master_key) if found.master_key else None


def read_number_digests(nats_url: str, env_file: Path | None) -> NumberDigests | None:
    """Returns the digests of numbers, or None if NUMBER_DIGEST_KEY is not set. The rest is as for `read_master_key`."""
    key = read_settings(_Settings, nats_url, env_file).number_digest_key
    return NumberDigests(key_bytes(key)) if key else None


def read_tool_secret(nats_url: str, env_file: Path | None) -> bytes | None:
    """Returns the secret of the keys of tools, or None if TOOL_SIGNING_KEY is not set. As for `read_master_key`."""
    key = read_settings(_Settings, nats_url, env_file).tool_signing_key
    return key_bytes(key) if key else None


def read_settings(kind: type[S], nats_url: str, env_file: Path | None) -> S:
    """Returns settings from the environment and a file. The rest is as for `read_master_key`."""
    settings: Any = kind
    try:
        found: S = settings(_env_file=env_file or run_settings_file(nats_url))
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        name = str(detail["loc"][0]).upper()
        message = detail["msg"].removeprefix("Value error, ")
        raise CommandFailed(f"{name}: {message}", ExitCode.WRONG_USE) from None
    return found
