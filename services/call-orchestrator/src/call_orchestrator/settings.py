"""The settings of the service; the only module of it that reads the environment."""

from pydantic import Field

from chassis.settings import ServiceSettings
from contracts.events.requests import MIN_RING_SECONDS


class Settings(ServiceSettings):
    """Defaults for what a request leaves open, and the limits of every call."""

    default_call_timeout: int = Field(
        default=30, ge=MIN_RING_SECONDS, le=600, description="seconds that a phone may ring"
    )
    max_retry_attempts: int = Field(default=3, ge=0, le=10, description="dials after the first")
    retry_delay_minutes: float = Field(default=60, ge=0, le=10_080, description="minutes between two dials")
    max_call_seconds: int = Field(default=600, ge=10, le=14_400, description="talk time after which we hang up")
    max_concurrent_calls: int = Field(default=20, ge=0, description="calls that may be live at once; 0: no limit")
    max_concurrent_calls_per_campaign: int = Field(
        default=0, ge=0, description="calls of one campaign that may be live at once; 0: no limit"
    )
    twilio_calls_per_second: float = Field(
        default=1, gt=0, description="rate limit of the account, which voice enforces; few calls are sent ahead of it"
    )
    dial_within_minutes: float = Field(
        default=1440, gt=0, description="how long after its due time a call may be dialled before it expires"
    )
