"""The settings of the service; the only module of it that reads the environment."""

from typing import Annotated

from pydantic import AnyHttpUrl, BeforeValidator, Field, SecretStr, ValidationInfo, WebsocketUrl, field_validator
from pydantic_settings import NoDecode

from chassis.settings import KeySettings, split_commas
from contracts import PhoneNumber
from contracts.values import CallerId


class Settings(KeySettings):
    """The accounts at Twilio and ElevenLabs, and the limits of their use."""

    app_base_url: AnyHttpUrl = Field(description="public URL of edge, to which Twilio sends webhooks")
    twilio_account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", description="SID of the account that dials")
    twilio_auth_token: SecretStr = Field(
        min_length=1, description="secret of the account; the key of media URLs is derived from it"
    )
    twilio_phone_number: PhoneNumber = Field(description="caller number in E.164 format")
    caller_ids: Annotated[frozenset[CallerId], NoDecode, BeforeValidator(split_commas)] = Field(
        default=frozenset(), description="further numbers of the account from which campaigns may call"
    )
    twilio_calls_per_second: float = Field(
        default=1, gt=0, description="rate limit of dials, for all replicas together"
    )
    twilio_base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://api.twilio.com"), description="base URL of Twilio's REST API"
    )
    elevenlabs_api_key: SecretStr = Field(min_length=1, description="API key of the speech account")
    elevenlabs_default_voice: str = Field(
        default="JBFqnCBsd6RMkjVDRZzb", min_length=1, description="id of the voice of sentences that request none"
    )
    elevenlabs_model_id: str = Field(default="eleven_flash_v2_5", min_length=1, description="synthesis model")
    elevenlabs_fallback_model_id: str | None = Field(
        default=None, min_length=1, description="synthesis model that is used when the first one fails"
    )
    elevenlabs_fallback_voice: str | None = Field(
        default=None,
        min_length=1,
        description="id of the voice that replaces all others when the first model or voice fails",
    )
    elevenlabs_base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://api.elevenlabs.io"), description="base URL of ElevenLabs' REST API"
    )
    elevenlabs_max_concurrency: int = Field(
        default=4, ge=1, description="concurrent syntheses of one replica; all replicas share the limit of the plan"
    )
    twilio_max_concurrency: int = Field(default=20, ge=1, description="concurrent requests of one replica to Twilio")
    speech_deadline_seconds: float = Field(
        default=6, gt=0, le=20, description="from the request of a sentence to its first audio, including fallbacks"
    )
    breaker_failures: int = Field(default=5, ge=1, description="consecutive failures that open a circuit breaker")
    breaker_cool_down_seconds: float = Field(
        default=15, gt=0, description="how long an open circuit breaker waits before it lets one request through"
    )
    media_turn_timeout_seconds: float = Field(
        default=15, gt=0, description="how long a turn's audio waits for the next sentence before it ends"
    )
    live_base_url: WebsocketUrl | None = Field(
        default=None, description="public address of the media streams of live conversations; default: none, no streams"
    )
    live_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        validate_default=True,
        description="the port on which this service accepts media streams; 0: any free one; default: none, no streams",
    )
    live_fd: int | None = Field(
        default=None,
        validate_default=True,
        description="in place of LIVE_PORT: a listening socket opened by the parent process",
    )
    live_max_calls: int = Field(default=60, ge=1, description="media streams of one replica")
    live_max_lag_seconds: float = Field(
        default=0.2,
        gt=0,
        description="a replica whose event loop is mostly later than this accepts no media stream",
    )

    @field_validator("live_port", "live_fd")
    @classmethod
    def _has_address(cls, port: int | None, info: ValidationInfo) -> int | None:
        if port is not None and info.data.get("live_base_url") is None:
            raise ValueError("media streams need LIVE_BASE_URL, too: Twilio signs their address")
        return port

    @property
    def has_streams(self) -> bool:
        """Whether this service accepts media streams."""
        return self.live_port is not None or self.live_fd is not None

    @property
    def live_url(self) -> str:
        """Returns ``LIVE_BASE_URL`` without a trailing slash; empty: there is none."""
        return str(self.live_base_url or "").rstrip("/")
