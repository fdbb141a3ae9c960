"""Which persons a message may name: the telephone numbers in its text, however they are written.

A person is erased by the digest of the number, so the numbers in a message are searched without knowing which one is
wanted. The text is searched once, when its dead letter is stored, and the dead letter keeps the first digits of their
digests. A number that is found by mistake costs a dead letter at most, so the search finds too much rather than too
little:

- A run of digits may contain any characters between its digits that are neither letters nor digits.
- A number with its calling code may begin and end anywhere in a run, after ``00`` or ``011``, too, and with ``(0)``.
- A number without its calling code is one of a country that may be called. It begins and ends with a group of digits,
  after the prefix of national calls.

A text that is longer, or has more digits or numbers, than the limits names anyone: the next erasure removes it.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import decimal

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, country_code_for_region
from pydantic_core import from_json

from contracts.number_digests import NumberDigests
from contracts.personal import PERSON_HEADER

ANYONE = "*"
"""Stands for the persons of a message that is not searched as a whole."""
MAX_BYTES = 256 * 1024
"""How long a body that is searched may be."""
MAX_DIGITS = 4_000
"""How many digits of different runs are searched. A long request has some hundreds."""
MAX_NUMBERS = 1_000
_PREFIX_LENGTH = 8
"""How many digits of a digest are kept. One in four thousand million other numbers has the same ones."""
_MIN_DIGITS, _MAX_NUMBER_DIGITS = 6, 15
_PERSON = re.compile(r"[0-9a-f]{32}")
_RUN = re.compile(rf"\d(?:[\W_]{{0,6}}\d){{{_MIN_DIGITS - 1},{MAX_DIGITS}}}")
_NON_GEOGRAPHIC = "001"


class TooManyNumbers(ValueError):
    """There are more digits or numbers than are searched."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How numbers of one country are written without the calling code."""

    code: str
    prefix: str
    lengths: frozenset[int]


class NamedPersons:
    """Finds the persons whom messages may name. `countries`: those that may be called."""

    def __init__(self, digests: NumberDigests, countries: Collection[str]) -> None:
        self._digests = digests
        self._plans = tuple(sorted({_plan(country) for country in countries}, key=lambda plan: plan.code))

    def of(self, subject: str, headers: Mapping[str, str], body: bytes) -> str:
        """Returns whom a message may name, in the form that `may_name` reads."""
        if len(body) > MAX_BYTES:
            return ANYONE
        text = body.decode(errors="replace")
        texts = [subject, *headers.values(), text]
        if "\\" in text:
            texts += _strings(body)
        try:
            numbers = self._numbers(texts)
        except TooManyNumbers:
            return ANYONE
        named = {self._digests.of(number)[:_PREFIX_LENGTH] for number in numbers}
        return " ".join(sorted(named | set(persons_of_header(headers).split())))

    def _numbers(self, texts: Collection[str]) -> set[str]:
        found: set[str] = set()
        for groups in _runs(texts):
            for number in (*_international(groups), *_national(groups, self._plans)):
                found.add(number)
                if len(found) > MAX_NUMBERS:
                    raise TooManyNumbers
        return found


def persons_of_header(headers: Mapping[str, str]) -> str:
    """Returns whom a sealed message names, in the form that `may_name` reads."""
    person = headers.get(PERSON_HEADER, "")
    return person[:_PREFIX_LENGTH] if _PERSON.fullmatch(person) else ""


def may_name(persons: str, person: str) -> bool:
    """Returns whether a message may name a person, from what was found in it."""
    return persons == ANYONE or person[:_PREFIX_LENGTH] in persons


def _runs(texts: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yields the different runs of digits, as their groups. Raises TooManyNumbers."""
    left, known = MAX_DIGITS, set[str]()
    for text in texts:
        for match in _RUN.finditer(text):
            if match[0] in known:
                continue
            known.add(match[0])
            groups = tuple(_ascii(group) for group in re.findall(r"\d+", match[0]))
            left -= sum(map(len, groups))
            if left < 0:
                raise TooManyNumbers
            yield groups


def _international(groups: tuple[str, ...]) -> Iterator[str]:
    """Yields the numbers with their calling codes that may begin at each digit of a run."""
    digits = "".join(groups)
    for start in range(len(digits) - _MIN_DIGITS):
        for code in (digits[start : start + length] for length in (1, 2, 3)):
            for rest in _rests(digits, start + len(code)):
                for length in _lengths(code):
                    national = digits[rest : rest + length]
                    if len(national) == length:
                        yield f"+{code}{national}"


def _rests(digits: str, start: int) -> tuple[int, ...]:
    """Returns where the national part may begin: after a ``(0)``, too."""
    return (start, start + 1) if digits[start : start + 1] == "0" else (start,)


def _national(groups: tuple[str, ...], plans: Collection[_Plan]) -> Iterator[str]:
    """Yields the numbers without their calling codes that may begin and end with groups of a run."""
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > _MAX_NUMBER_DIGITS + 2:
                break
            for plan in plans:
                for number in {digits, digits.removeprefix(plan.prefix)}:
                    if len(number) in plan.lengths:
                        yield f"+{plan.code}{number}"


@lru_cache(maxsize=1_200)
def _lengths(code: str) -> frozenset[int]:
    """Returns how many digits follow a calling code; none, if there is no such code."""
    countries = () if code.startswith("0") else COUNTRY_CODE_TO_REGION_CODE.get(int(code), ())
    found = [length for country in countries for length in _possible_lengths(_metadata(country, int(code)))]
    return frozenset(length for length in found if _MIN_DIGITS < len(code) + length <= _MAX_NUMBER_DIGITS)


@lru_cache(maxsize=300)
def _plan(country: str) -> _Plan:
    code = country_code_for_region(country)
    metadata = _metadata(country, code)
    lengths = frozenset(length for length in _possible_lengths(metadata) if length >= _MIN_DIGITS)
    return _Plan(str(code), (metadata.national_prefix if metadata else None) or "", lengths)


def _possible_lengths(metadata: PhoneMetadata | None) -> tuple[int, ...]:
    description = metadata.general_desc if metadata else None
    return description.possible_length if description else ()


def _metadata(country: str, code: int) -> PhoneMetadata | None:
    if country == _NON_GEOGRAPHIC:
        return PhoneMetadata.metadata_for_nongeo_region(code, None)
    return PhoneMetadata.metadata_for_region(country, None)


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(decimal(one)) for one in digits)


def _strings(body: bytes) -> list[str]:
    """Returns the texts of a JSON body, in which escapes are resolved; none, if it is no JSON."""
    try:
        waiting = [from_json(body.partition(b"\0")[0])]
    except ValueError:
        return []
    found: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
    return found
