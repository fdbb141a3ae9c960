"""The settings of the service. The only module that reads the environment."""

from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, field_validator

from chassis.settings import KeySettings, SecretKey


class Settings(KeySettings):
    """The OpenAI account, the limits of a turn, the answer cache, and tools over HTTP."""

    openai_api_key: SecretStr = Field(min_length=1)
    openai_model: str = Field(
        default="gpt-4.1-mini", min_length=1, description="a model whose first word comes quickly: without reasoning"
    )
    openai_fallback_model: str | None = Field(
        default=None, min_length=1, description="the model to use when the first fails; preferably of another family"
    )
    openai_max_concurrency: int = Field(
        default=64,
        ge=1,
        description="maximum number of requests that one replica has in progress; it answers 64 turns at a time",
    )
    openai_base_url: HttpUrl = Field(default=HttpUrl("https://api.openai.com/v1"), description="including /v1")
    turn_deadline_seconds: float = Field(
        default=8.0, gt=0, le=20, description="deadline of a whole turn; for live calls below 12 s"
    )
    breaker_failures: int = Field(
        default=5, ge=1, description="failures in a row that open the circuit breaker of a provider"
    )
    breaker_cool_down_seconds: float = Field(
        default=15.0, gt=0, description="how long an open circuit breaker sends no request"
    )
    answer_cache_seconds: int = Field(
        default=0, ge=0, le=86_400, description="how long an answer is reused for the same question; 0: never"
    )
    tool_signing_key: SecretKey | None = Field(
        default=None,
        description="32 bytes in base64: the secret of the keys that sign requests to tools; none: no tools over HTTP",
    )
    tool_max_concurrency: int = Field(
        default=16, ge=1, description="maximum number of requests to one host of tools that one replica has in progress"
    )
    tools_permit_loopback: bool = Field(
        default=False, description="only in embedded runs: tools may be on this machine, without TLS"
    )

    @field_validator("tools_permit_loopback")
    @classmethod
    def _is_embedded(cls, is_permitted: bool, info: ValidationInfo) -> bool:
        if is_permitted and not info.data.get("embedded_run"):
            raise ValueError("only in embedded runs may tools be on this machine; leave it out")
        return is_permitted
