"""The documentation site: built as `make site` does, from the pages of this checkout."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lxml import html  # type: ignore[import-untyped]
from markdown import markdown  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from mkdocs.commands.build import build
from mkdocs.config import load_config

from centralita.docs.site import dialect, rest, schemas, sources
from contracts.events import EVENTS

ROOT = Path(__file__).parents[3]
SHOWN_TAGS = ("h1", "h2", "h3", "p", "ol", "ul", "li", "table", "tr", "th", "td", "code", "blockquote", "strong", "em")
DIAGRAM = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site. The build raises at its first warning."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def pages_of(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def addresses(page: Path) -> Iterator[tuple[str, str]]:
    """Yield tag and address of everything to which a page refers."""
    for element in html.parse(str(page)).getroot().iter():
        for name in ("href", "src", "srcset", "action", "poster", "data"):
            if (address := element.get(name)) is not None:
                yield str(element.tag), address


def broken_links(site: Path) -> list[str]:
    anchors = {page: set(html.parse(str(page)).getroot().xpath("//@id")) for page in pages_of(site)}
    found = []
    for page in anchors:
        for _, address in addresses(page):
            url = urlsplit(address)
            if url.scheme or url.netloc:
                continue
            start = site if url.path.startswith("/") else page.parent
            target = (start / unquote(url.path).lstrip("/")).resolve() if url.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (url.fragment and target in anchors and url.fragment not in anchors[target]):
                found.append(f"{page.relative_to(site)}: {address}")
    return found


def foreign_requests(site: Path) -> list[str]:
    """Return what a browser would load from another host. Links that a reader may follow are not loaded."""
    found = [
        f"{page.relative_to(site)}: {address}"
        for page in pages_of(site)
        for tag, address in addresses(page)
        if tag != "a" and (urlsplit(address).netloc or urlsplit(address).scheme not in ("", "data"))
    ]
    loaded = re.compile(r"(?:url\(|@import|<image[^>]*href=|<script|<style>@import)[\s\"']*(?:https?:)?//")
    return found + [
        f"{file.relative_to(site)}: {match[0]}"
        for pattern in ("*.html", "*.css", "*.svg")
        for file in site.rglob(pattern)
        for match in loaded.finditer(file.read_text(encoding="utf-8"))
    ]


def test_every_link_and_every_anchor_resolves(site: Path) -> None:
    assert broken_links(site) == []
    assert len(pages_of(site)) > len(sources.pages())


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    assert foreign_requests(site) == []


def test_the_browser_refuses_requests_to_other_hosts(site: Path) -> None:
    for page in pages_of(site):
        (policy,) = html.parse(str(page)).getroot().xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
        allowed = {source for directive in policy.split(";") for source in directive.split()[1:]}
        assert policy.startswith("default-src 'none';")
        assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "file:", "data:"}


@pytest.mark.parametrize(
    ("body", "is_link"),
    [
        ('<a href="gone.html">x</a>', True),
        ('<a href="#gone">x</a>', True),
        ('<img src="gone.png">', True),
        ('<img src="https://cdn.example.com/x.png">', False),
        ('<script src="//cdn.example.com/x.js"></script>', False),
        ("<style>@import 'https://cdn.example.com/x.css'</style>", False),
        ('<p style="background: url(https://cdn.example.com/x.png)">x</p>', False),
    ],
)
def test_the_checks_find_a_broken_link_and_a_foreign_host(tmp_path: Path, body: str, is_link: bool) -> None:
    (tmp_path / "index.html").write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    assert bool(broken_links(tmp_path)) is is_link
    assert bool(foreign_requests(tmp_path)) is not is_link


def shape(root: html.HtmlElement) -> tuple[Counter[str], list[str]]:
    """Return how many elements of each kind a text has, and its words."""
    for permalink in root.xpath(".//a[@class='headerlink']"):
        permalink.drop_tree()
    tags = Counter(tag for element in root.iter() if (tag := str(element.tag)) in SHOWN_TAGS)
    return tags, str(root.text_content()).split()


def as_on_github(text: str) -> html.HtmlElement:
    return html.fromstring(f"<div>{MarkdownIt('commonmark').enable('table').render(text)}</div>")


@pytest.mark.parametrize("page", sources.pages())
def test_a_page_has_the_structure_and_the_words_that_github_shows(site: Path, page: str) -> None:
    built = site / page.replace("README.md", "index.md").replace(".md", ".html")
    (article,) = html.parse(str(built)).getroot().xpath("//article")
    text = (ROOT / page).read_text(encoding="utf-8")
    for diagram in article.xpath(".//p[a/img]"):
        diagram.drop_tree()
    tags, words = shape(article)
    expected_tags, expected_words = shape(as_on_github(DIAGRAM.sub("", text)))
    assert words == expected_words
    # Paragraphs of loose lists differ, without a difference that a reader could see.
    del tags["p"], expected_tags["p"]
    assert tags == expected_tags


@pytest.mark.parametrize(
    "text",
    [
        "Text:\n- one\n- two\n",
        "Text:\n1. one\n   - inner\n   - other\n2. two\n",
        "Text\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        "## Heading\n- one\n  continues\n- two\n\nText\n",
        "- one\n\n  ```\n  - code\n\n    deeper\n  ```\n\n  paragraph\n- two\n",
        "- one\n\nText\n\n- other list\n",
        "```\nText:\n- code\n```\n",
    ],
)
def test_lists_and_tables_are_read_as_github_reads_them(text: str) -> None:
    translated = markdown(dialect.translated(text), extensions=["tables", "sane_lists", "pymdownx.superfences"])
    (tags, words), (expected_tags, expected_words) = (
        shape(html.fromstring(f"<div>{translated}</div>")),
        shape(as_on_github(text)),
    )
    assert (words, tags["li"], tags["td"]) == (expected_words, expected_tags["li"], expected_tags["td"])


def test_every_event_is_described(site: Path) -> None:
    for event in EVENTS.values():
        family = event.event_name.partition(".")[0]
        page = html.parse(str(site / "events" / f"{family}.html")).getroot()
        headings = page.xpath("//h2/@id")
        assert schemas.anchor(event.event_name) in headings
        assert len(headings) == len(set(headings))


def test_every_operation_of_the_rest_api_is_described(site: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "rest").glob("*.html"))
    operations = [
        f"{method.upper()} {path}" for path, methods in rest.openapi_document()["paths"].items() for method in methods
    ]
    assert len(operations) > 30
    assert [name for name in operations if f'id="{schemas.anchor(name)}"' not in text] == []


def test_the_rest_pages_name_the_scope_of_an_operation(site: Path) -> None:
    assert "lacks the scope <code>admin</code>" in (site / "rest" / "persons.html").read_text(encoding="utf-8")


def test_a_linked_file_of_the_repository_is_a_page(site: Path) -> None:
    (code,) = html.parse(str(site / "files/deploy/Dockerfile.html")).getroot().xpath("//article//pre")
    assert code.text_content().strip() == (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").strip()


def test_the_calling_rules_are_a_table_with_links_to_their_sources(site: Path) -> None:
    file = "services/call-orchestrator/src/call_orchestrator/domain/calling_policy/rules.csv"
    with (ROOT / file).open(encoding="utf-8", newline="") as rules:
        expected = list(csv.reader(rules))
    (table,) = html.parse(str(site / "files" / f"{file}.html")).getroot().xpath("//article//table")
    rows = [[cell.text_content() for cell in row.xpath("th|td")] for row in table.xpath(".//tr")]
    assert rows == [[" ".join(cell.split()) for cell in row] for row in expected]
    assert "https://twilio.com/docs/api/errors/30610" in table.xpath(".//a/@href")


def test_each_vendored_script_is_the_one_in_the_lock() -> None:
    folder = ROOT / "tools/src/centralita/docs/site/static/vendor"
    lock = json.loads((folder / "vendor.lock").read_text(encoding="utf-8"))
    digests = {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.js")}
    assert digests == {name: entry["sha256"] for name, entry in lock.items()}
    assert all((folder / name).with_suffix(".LICENSE.txt").is_file() for name in lock)


def test_the_search_has_its_index_for_pages_that_are_read_from_the_disk(site: Path) -> None:
    assert (site / "search" / "search_index.js").read_text(encoding="utf-8").startswith("var __index = {")
    assert (site / "vendor" / "iframe-worker.js").is_file()


def test_a_file_outside_the_repository_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    root = tmp_path / "repository"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "data.csv").write_text("a", encoding="utf-8")
    text = "[a](../../secret) [b](/etc/hostname) [c](data.csv) [d](gone.csv) [e](https://example.com/data.csv)"
    assert sources.linked_targets("docs/page.md", text, root) == {"docs/data.csv"}
    assert sources.with_links_to_pages("docs/page.md", text, root) == text.replace(
        "data.csv)", "../files/docs/data.csv.md)", 1
    )


def test_a_description_is_text_and_not_html() -> None:
    assert schemas.prose("<img src=x onerror=alert(1)> a | b *c*\n `a < b | c`") == (
        r"&lt;img src=x onerror=alert(1)> a \| b \*c\* `a < b | c`"
    )


def test_the_type_of_a_field_has_its_limits_and_a_link() -> None:
    text = {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^a+$"}
    schema = {
        "properties": {
            "later": {"anyOf": [{"$ref": "#/components/schemas/Call"}, {"type": "null"}], "default": None},
            "names": {"type": "array", "items": text, "minItems": 1, "maxItems": 1, "description": "who"},
            "kind": {"enum": ["a", 1]},
        },
        "required": ["names"],
    }
    assert schemas.fields_of(schema, lambda name: f"values.md#{name.lower()}") == [
        schemas.Field("names", "list of string, 1 to 20 characters, matches `^a+$`, 1 items", "required", "who"),
        schemas.Field("later", "[Call](values.md#call) or null", "default `null`", ""),
        schemas.Field("kind", "`a`, `1`", "optional", ""),
    ]
