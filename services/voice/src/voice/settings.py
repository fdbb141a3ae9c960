"""The only module of this service that reads the environment."""

from pydantic import AnyHttpUrl, Field, SecretStr

from chassis.settings import ServiceSettings
from contracts import PhoneNumber


class Settings(ServiceSettings):
    """The accounts at the two vendors, and how they are used."""

    app_base_url: AnyHttpUrl = Field(description="the public address at which Twilio finds the edge")
    twilio_account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", description="which account places the calls")
    twilio_auth_token: SecretStr = Field(min_length=1, description="its secret; it also signs the media URLs")
    twilio_phone_number: PhoneNumber = Field(description="the number that callees see, E.164")
    twilio_calls_per_second: float = Field(default=1, gt=0, description="the account's pace, for all replicas together")
    twilio_base_url: AnyHttpUrl = Field(default=AnyHttpUrl("https://api.twilio.com"), description="Twilio's REST API")
    elevenlabs_api_key: SecretStr = Field(min_length=1, description="the key of the speech account")
    elevenlabs_default_voice: str = Field(
        default="JBFqnCBsd6RMkjVDRZzb", min_length=1, description="id of the voice of sentences that name none"
    )
    elevenlabs_model_id: str = Field(default="eleven_flash_v2_5", min_length=1, description="the synthesis model")
    elevenlabs_fallback_model_id: str | None = Field(
        default=None, min_length=1, description="the model that speaks when the first one does not"
    )
    elevenlabs_fallback_voice: str | None = Field(
        default=None, min_length=1, description="id of the voice that speaks then, in place of every other"
    )
    elevenlabs_base_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("https://api.elevenlabs.io"), description="ElevenLabs' REST API"
    )
    elevenlabs_max_concurrency: int = Field(
        default=4, ge=1, description="syntheses at once by one replica; all replicas share the limit of the plan"
    )
    twilio_max_concurrency: int = Field(default=20, ge=1, description="requests to Twilio at once by one replica")
    speech_deadline_seconds: float = Field(
        default=6, gt=0, le=20, description="from asking for a sentence to its first sound, whoever speaks it"
    )
    breaker_failures: int = Field(default=5, ge=1, description="so many in a row, and a provider is left alone")
    breaker_cool_down_seconds: float = Field(default=15, gt=0, description="until one request may try it again")
    media_turn_timeout_seconds: float = Field(
        default=15, gt=0, description="how long a turn's audio waits for its next sentence before it ends"
    )
