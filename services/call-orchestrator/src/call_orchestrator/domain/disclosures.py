"""The disclosure of a call: the sentence by which the greeting says who calls, and that an AI speaks.

`disclosures.csv` has one row per country and language, and one of the country ``*`` per language, which is that of all
other countries. A row of an operator's file replaces the one of the same country and language. Pure, but for `shipped`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from call_orchestrator.domain.calling_policy.rules import DEFAULT_COUNTRY, Kind
from call_orchestrator.domain.tables import CONFIDENCE, not_empty, one_of, read_file, read_lines
from contracts.numbers import COUNTRIES
from contracts.vocabulary import NO_OPT_OUT_KEY, SUPPLIED_LANGUAGES

COLUMNS = ("countries", "language", "text", "opt_out_text", "kind", "basis", "source", "confidence")
COMPANY = "{{company}}"
OPT_OUT_KEY = "{{opt_out_key}}"
MAX_CHARACTERS = 300
KEY_NAMES: Mapping[str, Mapping[str, str]] = {
    "es": {"*": "asterisco", "#": "almohadilla"},
    "en": {"*": "the star key", "#": "the pound or hash key"},
}
"""How the keys without a digit are spoken, by primary language."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The texts of one row. `opt_out_text` names the opt-out key; empty: the disclosure names none."""

    text: str
    opt_out_text: str


class Disclosures:
    """The disclosures of all countries; immutable."""

    def __init__(self, rows: Mapping[tuple[str, str], Disclosure]) -> None:
        """`rows`: by country and language. Those of the country ``*`` must include every supplied language."""
        self._rows = rows

    @classmethod
    def shipped(cls, overrides: Path | None = None) -> Self:
        """Returns the shipped disclosures. `overrides`: a CSV file whose rows replace those of the same place.

        Reads files, so it is called once, when the service starts. Raises InvalidTable, which names the file, the line,
        the column and the remedy.
        """
        name = "disclosures.csv"
        rows = _rows((resources.files(__package__) / name).read_bytes(), name)
        if overrides:
            rows |= _rows(read_file(overrides, "DISCLOSURES"), str(overrides))
        return cls(rows)

    def sentence(self, country: str, language: str, company: str, opt_out_key: str) -> str:
        """Returns what is spoken before the greeting, with the opt-out key unless that is off.

        Without a row of the country in this language, regional or not, it is the one of all countries.
        """
        primary = language.split("-")[0]
        places = ((place, tag) for place in (country, DEFAULT_COUNTRY) for tag in (language, primary))
        row = next(self._rows[place] for place in places if place in self._rows)
        sentence = row.text.replace(COMPANY, company)
        if opt_out_key == NO_OPT_OUT_KEY or not row.opt_out_text:
            return sentence
        key = KEY_NAMES[primary].get(opt_out_key, opt_out_key)
        return f"{sentence} {row.opt_out_text.replace(OPT_OUT_KEY, key)}"


def _rows(content: bytes, file: str) -> dict[tuple[str, str], Disclosure]:
    rows: dict[tuple[str, str], Disclosure] = {}
    for line in read_lines(content, file, COLUMNS):
        language = line.value("language", _language)
        disclosure = Disclosure(line.value("text", _text), line.value("opt_out_text", _opt_out_text))
        line.value("kind", one_of(*Kind))
        line.value("basis", not_empty)
        line.value("confidence", CONFIDENCE)
        for country in line.value("countries", _countries):
            if (country, language) in rows:
                raise line.invalid(f"an earlier line has {country} in {language}; remove one of them", "countries")
            rows[country, language] = disclosure
    return rows


def _countries(text: str) -> list[str]:
    countries = text.split()
    if countries == [DEFAULT_COUNTRY]:
        return countries
    if not countries or any(country not in COUNTRIES for country in countries):
        raise ValueError(f"{text!r}: write two capital letters each (ISO 3166-1), or * for all other countries")
    return countries


def _language(text: str) -> str:
    if text.split("-")[0] not in SUPPLIED_LANGUAGES:
        raise ValueError(f"{text!r} is not supplied; write one of {' '.join(SUPPLIED_LANGUAGES)}, such as es-MX")
    return text


def _text(text: str) -> str:
    return _checked(text, COMPANY)


def _opt_out_text(text: str) -> str:
    return _checked(text, OPT_OUT_KEY) if text else text


def _checked(text: str, placeholder: str) -> str:
    if text.count(placeholder) != 1 or "{{" in text.replace(placeholder, ""):
        raise ValueError(f"{text!r}: write the placeholder {placeholder} once, and no other one")
    if len(text) > MAX_CHARACTERS or not text.isprintable():
        raise ValueError(f"is not one line of at most {MAX_CHARACTERS} characters; shorten it")
    return text
