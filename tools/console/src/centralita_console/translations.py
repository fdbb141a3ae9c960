"""The languages of the console: gettext catalogues, whose message ids are the English texts."""

from collections.abc import Iterable
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "es": "Español"}
FOLDER = Path(__file__).with_name("locales")


def catalogue(language: str) -> Catalog:
    """Returns the catalogue of a language as it is stored."""
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@cache
def translations(language: str) -> NullTranslations:
    """Returns the texts of a language; the English ones need no catalogue."""
    if language == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def preferred(accept_language: str) -> str:
    """Returns the first language of an ``Accept-Language`` header that the console has, English without one."""
    return next((one for one in _tags(accept_language[:200]) if one in LANGUAGES), ENGLISH)


def _tags(accept_language: str) -> Iterable[str]:
    """Yields the primary tags in the order in which they are written; browsers write the preferred one first."""
    for part in accept_language.split(","):
        yield part.split(";")[0].strip().partition("-")[0].lower()
