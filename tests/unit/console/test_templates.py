"""The templates, the script and the style sheet: what the Content-Security-Policy forbids, and both languages."""

import re
from collections import Counter
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

import centralita_console
from centralita_console.translations import ENGLISH, FOLDER, LANGUAGES, catalogue, preferred
from records import live_description

ROOT = Path(centralita_console.__file__).parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
OWN = sorted((ROOT / "static").iterdir())
METHODS = [("**.html", "jinja2")]
OPTIONS = {"**.html": {"newstyle_gettext": "true", "silent": "false", "trim_blocks": "true"}}


@pytest.mark.parametrize(
    "forbidden",
    [r"hx-on", r"\sstyle=", r"<style", r"https?://", r"\son[a-z]+=", r"js:", r"\|\s*safe\b", r"<script(?! src=)"],
)
def test_no_template_has_what_the_policy_forbids(forbidden: str) -> None:
    assert TEMPLATES
    assert [file.name for file in TEMPLATES if re.search(forbidden, file.read_text())] == []


def test_no_script_or_style_of_the_console_names_another_host_or_evaluates_text() -> None:
    for file in OWN:
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert re.findall(r"https?://|@import|\beval\(|new Function|innerHTML", text) == [], file.name


def test_each_declaration_of_the_style_sheet_is_there_once() -> None:
    """Merges leave two rules for one element, of which only the last one counts."""
    style = (ROOT / "static/console.css").read_text()
    outside_of_queries = re.sub(r"@media[^{]*{(?:[^{}]*{[^{}]*})*[^{}]*}", "", style)
    declared = Counter(
        (selector.strip(), declaration.strip())
        for selectors, declarations in re.findall(r"([^{}]+){([^{}]*)}", outside_of_queries)
        for selector in selectors.split(",")
        for declaration in declarations.split(";")
        if declaration.strip()
    )
    assert declared
    assert [one for one, count in declared.items() if count > 1] == []


def _texts() -> set[str]:
    """Returns the texts of the templates, and those that the templates translate."""
    of_templates = {
        message[0] if isinstance(message, tuple) else message
        for _, _, message, _, _ in extract_from_dir(ROOT / "templates", METHODS, OPTIONS)
    }
    return of_templates | live_description.TEXTS


@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {ENGLISH}))
def test_a_catalogue_translates_every_text_of_the_pages_and_no_other(language: str) -> None:
    translated = {str(message.id): str(message.string) for message in catalogue(language) if message.id}

    assert translated.keys() == _texts()
    assert [text for text, translation in translated.items() if not translation] == []
    assert [text for text, translation in translated.items() if _names(text) != _names(translation)] == []


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != ENGLISH])
def test_each_text_of_a_catalogue_is_there_once(language: str) -> None:
    """A parser joins two translations of one text, and takes the last of two equal texts: both happen in merges."""
    lines = (FOLDER / f"{language}.po").read_text(encoding="utf-8").splitlines()
    keywords = [line.split(" ")[0] for line in lines if line.startswith(("msgid ", "msgstr "))]
    assert keywords == ["msgid", "msgstr"] * (len(keywords) // 2)
    assert len(keywords) == 2 * len(catalogue(language)) + 2  # the header has no text


def _names(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s", text))


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "en"), ("es-MX,es;q=0.9,en;q=0.8", "es"), ("fr, es", "es"), ("de", "en"), ("*" * 10_000, "en")],
)
def test_the_language_of_a_browser(header: str, language: str) -> None:
    assert preferred(header) == language
