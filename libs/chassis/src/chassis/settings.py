"""Settings come from the environment; a missing or wrong one stops the service at once with its name."""

import sys
from typing import TypeVar

from pydantic import AnyHttpUrl, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.addresses import NatsUrl


class ServiceSettings(BaseSettings):
    """What every service is told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    nats_url: NatsUrl = Field(default="nats://127.0.0.1:4222", description="where NATS listens; commas between nodes")
    http_host: str = Field(default="127.0.0.1", description="the address that this service's HTTP side binds")
    http_port: int = Field(default=0, ge=0, le=65535, description="its port; 0: the kernel chooses")
    http_fd: int | None = Field(default=None, description="a listening socket that the parent process has opened")
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = Field(default=None, description="where traces go, if anywhere")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


S = TypeVar("S", bound=ServiceSettings)


def read(kind: type[S]) -> S:
    """The settings, or the end of the process (exit code 2) with a line for each that is missing or wrong."""
    try:
        return kind()
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in detail["loc"]).upper() or "settings"
            sys.stderr.write(f"{name}: {detail['msg'].removeprefix('Value error, ')} (see .env.example)\n")
        raise SystemExit(2) from None
