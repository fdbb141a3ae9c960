"""What this service is told by its environment."""

from pydantic import Field, HttpUrl, SecretStr

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """OpenAI's account and the turn's deadline."""

    openai_api_key: SecretStr = Field(min_length=1)
    openai_model: str = Field(default="gpt-4.1-mini", min_length=1, description="quick to its first word: no reasoning")
    openai_fallback_model: str | None = Field(
        default=None, min_length=1, description="asked when the first does not answer; best of another family"
    )
    openai_max_concurrency: int = Field(default=16, ge=1, description="turns answered at once by one replica")
    openai_base_url: HttpUrl = Field(default=HttpUrl("https://api.openai.com/v1"), description="with its /v1")
    turn_deadline_seconds: float = Field(
        default=8.0, gt=0, le=20, description="for all of a turn; well below the consumer's 30 s of silence"
    )
    breaker_failures: int = Field(default=5, ge=1, description="so many in a row, and a provider is left alone")
    breaker_cool_down_seconds: float = Field(default=15.0, gt=0, description="until one request may try it again")
    answer_cache_seconds: int = Field(
        default=0, ge=0, le=86_400, description="how long an answer serves others who ask the same; 0: never"
    )
