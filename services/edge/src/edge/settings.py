"""Settings of the edge; the only module of this service that reads the environment."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, WebsocketUrl, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chassis.settings import KeySettings, SecretKey
from contracts.streams import MIN_BACKLOG_LIMIT
from contracts.transfers import MAX_TRANSFER_SECONDS
from edge.application.keys import Key, parse_keys


class Settings(KeySettings):
    """Addresses, credentials and rate limits. Without credentials the service does not start."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    app_base_url: HttpUrl = Field(description="public URL of this service; Twilio signs URLs that begin with it")
    media_base_url: HttpUrl | None = Field(default=None, description="public URL of voice; default: APP_BASE_URL")
    live_base_url: WebsocketUrl | None = Field(
        default=None,
        description="public address of voice's media streams, wss://…; default: none, live calls go on in turns",
    )
    voice_url: HttpUrl | None = Field(default=None, description="internal URL of voice; default: MEDIA_BASE_URL")
    twilio_auth_token: SecretStr = Field(
        min_length=1, description="signs webhooks; the key of media URLs is derived from it"
    )
    number_digest_key: SecretKey = Field(
        description="secret of the digests of phone numbers, the same in call-orchestrator; never replace it"
    )
    api_keys: Annotated[tuple[Key, ...], NoDecode] = Field(
        default=(), validate_default=True, description="keys of the REST API as name:scopes:sha256, comma-separated"
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(), description="addresses or networks of the reverse proxies whose X-Forwarded-For names the client"
    )
    rest_requests_per_second: float = Field(default=50, gt=0, description="average rate limit per API key and replica")
    rest_burst: int = Field(default=100, ge=1, description="requests at once per API key and replica")

    max_dials_per_key_per_day: int = Field(
        default=10_000,
        ge=0,
        description="dials, including retries, that a key may reserve a day (UTC); 0: no limit",
    )
    max_contacts_per_key_per_day: int = Field(
        default=1_000_000,
        ge=0,
        description="contacts, and numbers for do-not-call lists, that a key may import a day (UTC); 0: no limit",
    )
    max_backlog: int = Field(
        default=100_000,
        ge=MIN_BACKLOG_LIMIT,
        description="as in call-orchestrator; undecided requests count, too, and the answer is 429",
    )
    max_retry_attempts: int = Field(
        default=3, ge=0, le=10, description="as in call-orchestrator: retries of a request that sets no number"
    )

    max_transfer_seconds: int = Field(
        default=3_600,
        ge=60,
        le=MAX_TRANSFER_SECONDS,
        description="how long a callee whom the agent has transferred may talk with a person",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse(cls, value: object, info: ValidationInfo) -> object:
        """Parses the entries; only digests are kept."""
        may_be_plain = bool(info.data.get("embedded_run"))
        return parse_keys(value, may_be_plain=may_be_plain) if isinstance(value, str) else value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Splits a comma-separated list."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _require_a_key(cls, keys: tuple[Key, ...], info: ValidationInfo) -> tuple[Key, ...]:
        if not keys and not info.data.get("embedded_run"):
            raise ValueError("give at least one key; only the embedded run may have none")
        return keys

    @property
    def public_url(self) -> str:
        """Returns ``APP_BASE_URL`` without a trailing slash."""
        return str(self.app_base_url).rstrip("/")

    @property
    def media_url(self) -> str:
        """Returns ``MEDIA_BASE_URL``, or else ``APP_BASE_URL``, without a trailing slash."""
        return str(self.media_base_url or self.app_base_url).rstrip("/")

    @property
    def live_url(self) -> str:
        """Returns ``LIVE_BASE_URL`` without a trailing slash; empty: there is none."""
        return str(self.live_base_url or "").rstrip("/")

    @property
    def internal_media_url(self) -> str:
        """Returns ``VOICE_URL``, or else `media_url`, without a trailing slash."""
        return str(self.voice_url or self.media_url).rstrip("/")
