"""The values of events, each with its validation."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID, uuid5

import phonenumbers
from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, WithJsonSchema

from contracts.numbers import line_type, parsed
from contracts.personal import PERSONAL, PLACEHOLDERS
from contracts.texts import MAX_VARIABLES
from contracts.time_zones import is_zone
from contracts.vocabulary import SUPPLIED_LANGUAGES

CALL_NAMESPACE = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
"""The name space of call ids. It is public, so that any language computes the same id from a request id."""

STORED = "stored"
"""The context in which pydantic validates a sealed event that was read from a stream."""


def call_id_of(request_id: str) -> UUID:
    """Returns the id of a request's call: a UUIDv5 (RFC 9562), so a repeated request is the same call."""
    return uuid5(CALL_NAMESPACE, request_id)


_UNPARSABLE: Mapping[int, str] = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "its country code does not exist",
    phonenumbers.NumberParseException.NOT_A_NUMBER: "it has too few digits",
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "it has too few digits",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "it has too few digits",
}
"""Why a number that begins with + is not one, by the library's type of error."""


def _e164(number: str, info: ValidationInfo) -> str:
    """Accepts only numbers in E.164 (ITU-T) that are valid in the numbering plan of their country.

    In a stored event, also what stands for a number that the reader cannot open.
    """
    if info.context == STORED and number in PLACEHOLDERS:
        return number
    try:
        parts = parsed(number)
    except phonenumbers.NumberParseException as error:
        reason = _UNPARSABLE.get(error.error_type, "it is none") if number.startswith("+") else "no + and country code"
        raise ValueError(f"not a phone number in E.164 ({reason}); write it as +12125550123") from error
    if phonenumbers.format_number(parts, phonenumbers.PhoneNumberFormat.E164) != number:
        raise ValueError("not in E.164: write + and digits only, such as +12125550123")
    if line_type(number) == phonenumbers.PhoneNumberType.UNKNOWN:
        raise ValueError("no such number in its country's numbering plan; check the area code and the length")
    return number


def _supplied(tag: str) -> str:
    if tag.split("-")[0] not in SUPPLIED_LANGUAGES:
        raise ValueError(f"language {tag!r} is not supplied; use one of {', '.join(SUPPLIED_LANGUAGES)}, e.g. es-MX")
    return tag


_SUBJECT_PART = r"^[A-Za-z0-9_-]+$"  # one token of a NATS subject: no dot, no wildcard, no space

PhoneNumber = Annotated[str, StringConstraints(max_length=16), AfterValidator(_e164), PERSONAL]
"""A telephone number in E.164. Personal data: never write it to a log line."""


CallerId = Annotated[str, StringConstraints(max_length=16), AfterValidator(_e164)]
"""The number that calls, in E.164. It is that of a company, so it is not personal."""
VoiceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""The id of a voice at the vendor of speech. It becomes part of a URL."""


def _time_zone(name: str) -> str:
    if not is_zone(name):
        raise ValueError(f"no time zone {name!r}; write its IANA name, such as America/New_York")
    return name


TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$"), AfterValidator(_time_zone)]
"""The IANA name of a time zone."""

NumberDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""The keyed digest of a number, of `contracts.number_digests`."""

CallId = UUID
CampaignId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_SUBJECT_PART)]
"""Identifies a campaign. It is one token of a subject."""

DoNotCallListName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_SUBJECT_PART)]
"""Names a do-not-call list. Campaigns name the lists that apply to them."""


def _provider_call_id(identity: str) -> str:
    """Accepts what may be an id that a telephone provider gave."""
    if not (identity.isascii() and identity.isalnum()):
        raise ValueError("not an id of a telephone provider; copy it as its console shows it, such as CA1f2e…")
    return identity


ProviderCallId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_provider_call_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9]+$"}),
]
"""The id that the telephone provider gave an attempt."""

ContactId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""Identifies a person to the upstream system. Any text."""

RequestId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$"), AfterValidator(_supplied)]
"""A BCP 47 tag of a supported language, with or without a region: ``es``, ``es-MX``, ``en-US``."""

MIN_RING_SECONDS = 5
RingTime = Annotated[int, Field(ge=MIN_RING_SECONDS, le=600)]
Script = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True), PERSONAL]
Variables = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=2_000)]], Field(max_length=MAX_VARIABLES), PERSONAL
]
