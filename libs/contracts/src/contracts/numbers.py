"""Which telephone numbers are never called, and to which country a number belongs.

A call to a premium-rate or satellite number costs many times the usual price, and part of it is paid to the number's
owner. A stolen API key would earn that part. The numbering plans of libphonenumber tell the types apart.
Asked where requests enter, not when a stored event is read again: numbering plans change, and old logs stay readable.
"""

from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

CALLABLE_TYPES = frozenset(
    {
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.VOIP,
        PhoneNumberType.TOLL_FREE,
    }
)
"""All other types are refused. Premium rate and shared cost earn their owner money. Personal numbers, universal access
numbers (UAN), pagers and voicemail access forward to a destination whose price the number does not show."""
COUNTRIES = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""The codes of all countries and territories with a numbering plan (ISO 3166-1 alpha-2)."""


@lru_cache(maxsize=256)
def parsed(number: str) -> PhoneNumber:
    """Returns the parts of a number; do not change them. Raises phonenumbers.NumberParseException.

    A request is checked in several places, and parsing costs more than each check.
    """
    return phonenumbers.parse(number)


@lru_cache(maxsize=256)
def country_of(number: str) -> str | None:
    """Returns the country code (ISO 3166-1 alpha-2) of a number; none for international networks and invalid numbers.

    Countries that share a calling code are distinguished: +1 876 is ``JM``, +1 212 ``US``.
    """
    try:
        region = phonenumbers.region_code_for_number(parsed(number))
    except phonenumbers.NumberParseException:
        return None
    return region if region in COUNTRIES else None


@lru_cache(maxsize=256)
def line_type(number: str) -> int:
    """Returns the `PhoneNumberType` of a number; UNKNOWN: no such number. Raises phonenumbers.NumberParseException.

    A number with another type is valid, so the numbering plan of its country is searched once.
    """
    return phonenumbers.number_type(parsed(number))


def number_refusals(number: str | None) -> list[str]:
    """Returns why a valid number is called in no country; empty if it may be called, or if there is no number."""
    if number is None:
        return []
    if country_of(number) is None:
        return ["phone_number: belongs to no country: satellite and international networks are not called"]
    if line_type(number) not in CALLABLE_TYPES:
        remedy = "give a fixed-line, mobile, VoIP or toll-free number"
        return [f"phone_number: premium-rate, shared-cost, personal and access numbers are not called; {remedy}"]
    return []
