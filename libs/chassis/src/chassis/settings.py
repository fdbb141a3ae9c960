"""The settings of a service, read from its environment."""

import sys
from base64 import b64decode
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.addresses import NatsUrl
from sealing import MasterKey

SECRET_KEY_BYTES = 32


def key_bytes(secret: SecretStr) -> bytes:
    """Returns the bytes of a secret key. Raises ValueError if it is not 32 bytes in base64."""
    try:
        key = b64decode(secret.get_secret_value(), validate=True)
    except ValueError:
        key = b""
    if len(key) != SECRET_KEY_BYTES:
        raise ValueError("not 32 bytes in base64; generate a key with: openssl rand -base64 32")
    return key


def _checked(secret: SecretStr) -> SecretStr:
    key_bytes(secret)
    return secret


SecretKey = Annotated[SecretStr, AfterValidator(_checked)]
"""A secret key of 32 bytes, written in base64; `key_bytes` returns the bytes."""


def split_commas(value: object) -> object:
    """Returns the parts of a text that are separated by commas; another value as it is."""
    return {part.strip() for part in value.split(",") if part.strip()} if isinstance(value, str) else value


class ServiceSettings(BaseSettings):
    """The settings that every service has."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    nats_url: NatsUrl = Field(default="nats://127.0.0.1:4222", description="addresses of NATS, separated by commas")
    http_host: str = Field(default="127.0.0.1", description="the address on which this service serves HTTP")
    http_port: int = Field(default=0, ge=0, le=65535, description="its port; 0: any free one")
    http_fd: int | None = Field(default=None, description="a listening socket opened by the parent process")
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = Field(default=None, description="where traces are sent")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    embedded_run: bool = Field(
        default=False, description="set by make demo and make up; permits plain API keys, and a simulated clock"
    )


class KeySettings(ServiceSettings):
    """The settings of a service that reads personal data."""

    master_key: SecretKey = Field(
        description="32 bytes in base64: the key under which the keys of persons are stored; the same in all services"
    )
    former_master_key: SecretKey | None = Field(
        default=None, description="the master key that this one replaces, until `centralita keys rotate` has ended"
    )


def master_key_of(master_key: SecretStr, former: SecretStr | None) -> MasterKey:
    """Returns the master key of the settings `master_key` and `former_master_key`."""
    return MasterKey(key_bytes(master_key), MasterKey(key_bytes(former)) if former else None)


S = TypeVar("S", bound=ServiceSettings)


def read(kind: type[S]) -> S:
    """Returns the settings. If any is missing or wrong, prints one line for each and exits with code 2."""
    try:
        return kind()
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in detail["loc"]).upper() or "settings"
            sys.stderr.write(f"{name}: {detail['msg'].removeprefix('Value error, ')} (see .env.example)\n")
        raise SystemExit(2) from None
