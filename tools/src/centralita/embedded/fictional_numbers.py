"""Telephone numbers of the United States that are reserved for fiction: 555-0100 to 555-0199 of each area code."""

from functools import cache

from contracts.numbers import country_of, number_refusals

_NEW_YORK = (212, 315, 332, 347, 516, 518, 585, 607, 631, 646, 716, 718, 845, 914, 917, 929)
_PER_AREA_CODE = 100


def fictional_number(index: int) -> str:
    """Returns a number; each index below 20,000 has its own. The first 1,600 are of the state of New York."""
    codes = _area_codes()
    return _number(codes[index // _PER_AREA_CODE % len(codes)], index % _PER_AREA_CODE)


@cache
def _area_codes() -> tuple[int, ...]:
    others = (code for code in range(201, 990) if code not in _NEW_YORK and _is_callable(_number(code, 0)))
    return (*_NEW_YORK, *others)


def _is_callable(number: str) -> bool:
    return country_of(number) == "US" and not number_refusals(number)


def _number(area_code: int, last: int) -> str:
    return f"+1{area_code}55501{last:02d}"
