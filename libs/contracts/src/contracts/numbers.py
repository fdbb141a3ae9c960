"""Which telephone numbers are never called, and to which country a number belongs.

A call to a premium-rate or satellite number costs many times the usual price, and part of it is paid to the number's
owner. A stolen API key would earn that part. The numbering plans of libphonenumber tell the types apart.
"""

import phonenumbers
from phonenumbers import PhoneNumberType

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


def country_of(number: str) -> str | None:
    """Returns the country code (ISO 3166-1 alpha-2) of a number; none for international networks and invalid numbers.

    Countries that share a calling code are distinguished: +1 876 is ``JM``, +1 212 ``US``.
    """
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None
    return region if region in COUNTRIES else None


def check_callable(number: str) -> str:
    """Returns a valid number in E.164. Raises ValueError if its type is never called, in any country."""
    if country_of(number) is None:
        raise ValueError("belongs to no country: satellite and international networks are not called")
    if phonenumbers.number_type(phonenumbers.parse(number)) not in CALLABLE_TYPES:
        raise ValueError(
            "premium-rate, shared-cost, personal and access numbers are not called; give a fixed-line, mobile, VoIP or "
            "toll-free number"
        )
    return number
