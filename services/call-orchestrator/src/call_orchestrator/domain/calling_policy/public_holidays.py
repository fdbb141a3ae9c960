"""Public holidays of a country and its regions, from the package ``holidays``.

Only holidays that the package calls public count. A country that the package does not know has none; an override
can name its dates. Municipal holidays are not known.
"""

from datetime import date
from functools import lru_cache

import holidays

ALL_REGIONS = "*"


def is_holiday(day: date, country: str, region: str) -> bool:
    """Returns whether a date is a public holiday in a region; no region: in the whole country."""
    return day in _holidays_of(country, region, day.year)


@lru_cache(maxsize=512)
def regions_of(country: str) -> tuple[str, ...]:
    """Returns the codes of the regions whose holidays are known; empty if there are none, or no such country."""
    try:
        return tuple(holidays.country_holidays(country).subdivisions)
    except NotImplementedError:
        return ()


@lru_cache(maxsize=4096)
def _holidays_of(country: str, region: str, year: int) -> frozenset[date]:
    """Returns the holidays of a year. A region that is not known has those of the country."""
    known = regions_of(country)
    if region == ALL_REGIONS:
        return frozenset().union(*(_holidays_of(country, one, year) for one in ("", *known)))
    subdivision = region if region in known else None
    try:
        return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
    except NotImplementedError:
        return frozenset()
