"""The settings of the service; the only module of it that reads the environment."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from call_orchestrator.domain.calling_policy import CallingPolicy
from call_orchestrator.domain.disclosures import Disclosures
from chassis.settings import KeySettings, SecretKey, split_commas
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts.callee_terms import MAX_RETENTION_DAYS
from contracts.numbers import COUNTRIES, country_of
from contracts.streams import MIN_BACKLOG_LIMIT
from contracts.values import MIN_RING_SECONDS, CallerId, PhoneNumber


@lru_cache(maxsize=1)
def read_rules(file: Path | None) -> CallingPolicy:
    """Returns the policy of the shipped rules and of an operator's file, read once. Raises InvalidTable."""
    return CallingPolicy.shipped(file)


@lru_cache(maxsize=1)
def read_disclosures(file: Path | None) -> Disclosures:
    """Returns the shipped disclosures and those of an operator's file, read once. Raises InvalidTable."""
    return Disclosures.shipped(file)


class Settings(KeySettings):
    """Defaults for what a request leaves open, and the limits of every call."""

    number_digest_key: SecretKey = Field(
        description="secret of the digests of phone numbers, the same in edge; never replace it"
    )
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
    max_backlog: int = Field(
        default=100_000,
        ge=MIN_BACKLOG_LIMIT,
        description="calls that may wait for a slot; further requests that are due now are refused",
    )
    twilio_calls_per_second: float = Field(
        default=1, gt=0, description="rate limit of the account, which voice enforces; few calls are sent ahead of it"
    )
    dial_within_minutes: float = Field(
        default=1440, gt=0, description="how long after its due time a call may be dialled before it expires"
    )
    twilio_phone_number: PhoneNumber | None = Field(
        default=None, description="caller number; its country is the default of ALLOWED_COUNTRIES"
    )
    caller_ids: Annotated[frozenset[CallerId], NoDecode, BeforeValidator(split_commas)] = Field(
        default=frozenset(),
        description="numbers from which a campaign may call, beside TWILIO_PHONE_NUMBER; the same in voice",
    )
    allowed_countries: Annotated[frozenset[str], NoDecode, BeforeValidator(split_commas)] = Field(
        default=frozenset(), description="countries that may be called, ISO 3166-1 alpha-2, comma-separated"
    )

    retention_days: int = Field(
        default=0,
        ge=0,
        le=MAX_RETENTION_DAYS,
        description="days after the last call of a person until they are erased, unless the campaign says; 0: never",
    )
    dead_letter_retention_days: int = Field(
        default=30,
        ge=0,
        le=MAX_RETENTION_DAYS,
        description="days until the copies of requests in dead letters become unreadable; 0: never",
    )
    calling_rules: Path | None = Field(
        default=None, description="CSV file with calling rules in place of the shipped ones; docs/compliance.md"
    )

    disclosures: Path | None = Field(
        default=None,
        description="CSV file with sentences that say who calls, in place of shipped ones; docs/compliance.md",
    )

    simulated_clock: Annotated[TimeMapping | None, NoDecode] = Field(
        default=None, description="only in embedded runs: the mapping from real to simulated time, as JSON"
    )

    @field_validator("simulated_clock", mode="before")
    @classmethod
    def _parse_mapping(cls, value: object) -> object:
        return TimeMapping.model_validate_json(value) if isinstance(value, str) else value

    @field_validator("simulated_clock")
    @classmethod
    def _is_embedded(cls, mapping: TimeMapping | None, info: ValidationInfo) -> TimeMapping | None:
        if mapping and not info.data.get("embedded_run"):
            raise ValueError("only embedded runs have a simulated clock; leave it out")
        return mapping

    @field_validator("calling_rules")
    @classmethod
    def _are_valid_rules(cls, file: Path | None) -> Path | None:
        read_rules(file)
        return file

    @field_validator("disclosures")
    @classmethod
    def _are_valid_disclosures(cls, file: Path | None) -> Path | None:
        read_disclosures(file)
        return file

    @field_validator("allowed_countries")
    @classmethod
    def _are_countries(cls, codes: frozenset[str]) -> frozenset[str]:
        countries = frozenset(code.upper() for code in codes)
        if unknown := sorted(countries - COUNTRIES):
            raise ValueError(f"{', '.join(unknown)}: no country code; write two letters (ISO 3166-1), such as US,ES")
        return countries

    @model_validator(mode="after")
    def _one_names_a_country(self) -> Self:
        if not self.callable_countries:
            raise ValueError("set ALLOWED_COUNTRIES, or TWILIO_PHONE_NUMBER, whose country is the default")
        return self

    @property
    def time_mapping(self) -> TimeMapping:
        """Returns the mapping of the simulated clock; without one, that of real time."""
        return self.simulated_clock or REAL_TIME

    @property
    def calling_policy(self) -> CallingPolicy:
        """Returns the policy of ``CALLING_RULES``."""
        return read_rules(self.calling_rules)

    @property
    def country_disclosures(self) -> Disclosures:
        """Returns the disclosures of ``DISCLOSURES``."""
        return read_disclosures(self.disclosures)

    @property
    def usable_caller_ids(self) -> frozenset[str]:
        """Returns ``CALLER_IDS`` and ``TWILIO_PHONE_NUMBER``."""
        return self.caller_ids | ({self.twilio_phone_number} if self.twilio_phone_number else set())

    @property
    def callable_countries(self) -> frozenset[str]:
        """Returns ``ALLOWED_COUNTRIES``, or else the country of ``TWILIO_PHONE_NUMBER``."""
        own = country_of(self.twilio_phone_number) if self.twilio_phone_number else None
        return self.allowed_countries or frozenset({own} if own else ())
