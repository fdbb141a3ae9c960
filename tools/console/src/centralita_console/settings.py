"""Settings of the console; the only module that reads the environment."""

import re
from ipaddress import ip_address
from typing import Self

from pydantic import AnyHttpUrl, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings

DEFAULT_PORT = 8080
_TRACE_URL = re.compile(r"https?://\S*\{trace_id\}\S*")


class Settings(ServiceSettings):
    """Addresses of the REST API and of the console itself, and the one-use link of an embedded run."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    http_port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="its port; 0: any free one")
    api_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:8000"), description="address of the REST API, as this process reaches it"
    )
    console_url: AnyHttpUrl | None = Field(
        default=None, description="https:// address at which browsers open the console; empty: this machine, http://"
    )
    trace_url: str | None = Field(
        default=None,
        description="address of a trace with {trace_id} in it, such as that of Grafana or Jaeger; empty: no links",
    )
    console_token: SecretStr | None = Field(
        default=None,
        description="logs in once, with CONSOLE_API_KEY; set by make up and make demo",
    )
    console_api_key: SecretStr | None = Field(default=None, description="API key of CONSOLE_TOKEN")

    @model_validator(mode="after")
    def _check_addresses(self) -> Self:
        """Refuses plain HTTP to other machines: a cookie and a key would be readable on the way."""
        if self.console_url and self.console_url.scheme != "https" and not is_this_machine(self.console_url.host):
            raise ValueError("CONSOLE_URL must begin with https://, except on this machine")
        if self.trace_url and not _TRACE_URL.fullmatch(self.trace_url):
            raise ValueError("TRACE_URL must begin with http:// or https:// and contain {trace_id}")
        if (self.console_token is None) != (self.console_api_key is None):
            raise ValueError("give CONSOLE_TOKEN and CONSOLE_API_KEY, or neither of them")
        return self

    @property
    def is_secure(self) -> bool:
        """Whether browsers open the console over TLS."""
        return self.console_url is not None and self.console_url.scheme == "https"

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in requests that are answered; another one is a page of another site (DNS rebinding)."""
        public = (self.console_url.host,) if self.console_url and self.console_url.host else ()
        return ("127.0.0.1", "localhost", *public)


def is_this_machine(host: str | None) -> bool:
    """Whether a host is the loopback interface."""
    if host is None or host == "localhost":
        return host is not None
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
