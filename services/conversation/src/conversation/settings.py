"""What this service is told by its environment."""

from pydantic import Field, HttpUrl, SecretStr

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """OpenAI's account and the turn's deadline."""

    openai_api_key: SecretStr = Field(min_length=1)
    openai_model: str = Field(default="gpt-4.1-mini", min_length=1, description="quick to its first word: no reasoning")
    openai_base_url: HttpUrl = Field(default=HttpUrl("https://api.openai.com/v1"), description="with its /v1")
    turn_deadline_seconds: float = Field(
        default=8.0, gt=0, le=20, description="for all of a turn; well below the consumer's 30 s of silence"
    )
