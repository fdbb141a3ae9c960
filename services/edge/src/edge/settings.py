"""What the edge is told by its environment; the only module that reads it."""

from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chassis.settings import ServiceSettings
from edge.application.keys import Key, keys_in


class Settings(ServiceSettings):
    """Credentials have no default: without them the service does not start."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    app_base_url: HttpUrl = Field(description="how the world reaches this service; Twilio signs URLs that begin so")
    media_base_url: HttpUrl | None = Field(default=None, description="how the world reaches voice; none: as the edge")
    voice_url: HttpUrl | None = Field(default=None, description="where this service itself finds voice; none: as above")
    twilio_auth_token: SecretStr = Field(min_length=1, description="signs webhooks and media URLs")
    embedded_run: bool = Field(default=False, description="the demo on this machine: it may do without API keys")
    api_keys: Annotated[tuple[Key, ...], NoDecode] = Field(
        default=(), validate_default=True, description="keys of the REST API as name:scopes:sha256, comma-separated"
    )
    rest_requests_per_second: float = Field(default=50, gt=0, description="of one API key, at one replica, on average")
    rest_burst: int = Field(default=100, ge=1, description="of one API key, at one replica, at once after a pause")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _separate(cls, value: object) -> object:
        """Only digests are kept; a plain key is forgotten here."""
        return keys_in(value) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _not_open_to_all(cls, keys: tuple[Key, ...], info: ValidationInfo) -> tuple[Key, ...]:
        if not keys and not info.data.get("embedded_run"):
            raise ValueError("give at least one key; only the embedded run may have none")
        return keys

    @property
    def public_url(self) -> str:
        """``APP_BASE_URL`` without a slash at its end."""
        return str(self.app_base_url).rstrip("/")

    @property
    def media_url(self) -> str:
        """``MEDIA_BASE_URL``, or else ``APP_BASE_URL``, without a slash at its end."""
        return str(self.media_base_url or self.app_base_url).rstrip("/")

    @property
    def internal_media_url(self) -> str:
        """``VOICE_URL``, or else the public one of `media_url`, without a slash at its end."""
        return str(self.voice_url or self.media_url).rstrip("/")
