"""The sentence by which a greeting says who calls: by country and language, and by an operator's file."""

import csv
from importlib import resources
from pathlib import Path
from uuid import UUID

import pytest
from tests.builders.calls import NOW

from call_orchestrator.application.call_terms import new_call
from call_orchestrator.composition import policy
from call_orchestrator.domain.disclosures import COLUMNS, Disclosures
from call_orchestrator.domain.tables import InvalidTable
from call_orchestrator.settings import Settings
from contracts import CallRequested, CampaignTerms

SHIPPED = Disclosures.shipped()
HEADER = ",".join(COLUMNS)
VALID = "ES MX,es,Somos {{company}}.,Pulse {{opt_out_key}}.,law,our counsel,memo 7,high"


def write(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    file = tmp_path / "disclosures.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def test_every_shipped_sentence_names_its_basis_and_says_that_an_ai_speaks() -> None:
    text = (resources.files("call_orchestrator.domain") / "disclosures.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 10
    for row in rows:
        assert row["basis"]
        assert row["source"]
        assert row["confidence"] in ("low", "medium", "high")
        assert {"es": "inteligencia artificial", "en": "artificial intelligence"}[row["language"]] in row["text"]
        assert (row["kind"] == "house_default") is (row["countries"] == "*")


def test_the_page_for_users_names_every_country_of_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/compliance.md").read_text(encoding="utf-8")
    section = page.partition("## Disclosures")[2].partition("\n## ")[0]
    named = {word.strip(",|") for line in section.splitlines() for word in line.partition("| ")[2].split()}
    assert {country for country, _ in SHIPPED._rows} - {"*"} <= named


@pytest.mark.parametrize(
    ("country", "language", "key", "sentence"),
    [
        (
            "US",
            "en-US",
            "9",
            "This is Acme, with an automated call by an artificial intelligence. To receive no more calls, press 9.",
        ),
        ("ES", "es", "off", "Soy una inteligencia artificial y le llamo de parte de Acme."),
        (
            "ES",
            "en",
            "*",
            "I am an artificial intelligence, calling on behalf of Acme. To receive no more calls, press the star key.",
        ),
        (
            "BR",
            "es-AR",
            "#",
            "Le llama una inteligencia artificial, de parte de Acme. Para no recibir más llamadas, pulse almohadilla.",
        ),
        ("", "en", "off", "This is an automated call by an artificial intelligence, on behalf of Acme."),
    ],
)
def test_the_sentence_is_that_of_the_country_in_the_language_of_the_call(
    country: str, language: str, key: str, sentence: str
) -> None:
    assert SHIPPED.sentence(country, language, "Acme", key) == sentence


def test_rows_of_a_file_replace_those_of_the_same_country_and_language(tmp_path: Path) -> None:
    regional = "US,es-MX,Habla {{company}}.,,law,our counsel,memo 7,high"
    changed = Disclosures.shipped(write(tmp_path, VALID, regional))
    for country in ("ES", "MX"):
        assert changed.sentence(country, "es-ES", "Acme", "9") == "Somos Acme. Pulse 9."
    assert changed.sentence("US", "es-MX", "Acme", "9") == "Habla Acme."
    for country, language in (("ES", "en"), ("US", "es"), ("CO", "es")):
        assert changed.sentence(country, language, "Acme", "9") == SHIPPED.sentence(country, language, "Acme", "9")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("ES MX", "Spain", "column countries: 'Spain': write two capital letters"),
        ("ES MX", "ES ES", "column countries: an earlier line has ES in es"),
        (",es,", ",fr,", "column language: 'fr' is not supplied; write one of es en"),
        ("{{company}}", "Acme", "column text: 'Somos Acme.': write the placeholder {{company}} once"),
        ("{{company}}", "{{company}} {{name}}", "column text: "),
        ("Somos", "S" * 300, "column text: is not one line of at most 300 characters"),
        ("{{opt_out_key}}", "9", "column opt_out_text: 'Pulse 9.': write the placeholder {{opt_out_key}} once"),
        ("law", "rumour", "column kind: 'rumour' is not known"),
        ("our counsel", "", "column basis: empty; name the law"),
        ("high", "none", "column confidence: 'none' is not known; write one of low medium high"),
    ],
)
def test_an_invalid_file_stops_the_service_and_names_line_column_and_remedy(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    file = write(tmp_path, "*,en,I am {{company}}.,,code,a code,memo 8,low", VALID.replace(before, after))
    with pytest.raises(InvalidTable) as raised:
        Disclosures.shipped(file)
    assert str(raised.value).startswith(f"{file}, line 3, {problem}")
    with pytest.raises(ValueError, match=r"disclosures\.csv, line 3, column"):
        Settings(disclosures=file)


def test_the_service_gives_each_call_the_sentence_of_its_settings(tmp_path: Path) -> None:
    request = CallRequested.model_validate(
        {"campaign_id": "spring", "contact_id": "c-1", "phone_number": "+34912345678", "script_template": "Hola."}
    )
    terms = policy(Settings(disclosures=write(tmp_path, VALID), allowed_countries=frozenset({"ES"})))
    for campaign, said in ((CampaignTerms(company="Acme"), "Somos Acme. Pulse 9."), (CampaignTerms(), None)):
        assert new_call(UUID(int=1), request, terms, NOW, campaign).disclosure == said
