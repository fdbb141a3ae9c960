"""The hooks of MkDocs: which pages the site has, and what changes in their text."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from centralita.docs.site import diagrams, dialect, events, rest, sources

_OPENAPI = f"{rest.FOLDER}/openapi.json"
_FIRST = ("README.md", "index.md")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replaces each folder in the navigation by its pages."""
    if config.nav is not None:
        config.nav = _expanded(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the repository, the generated pages, and the files to which pages link."""
    texts = {page: (sources.ROOT / page).read_text(encoding="utf-8") for page in sources.pages()}
    targets = {target for page, text in texts.items() for target in sources.linked_targets(page, text)}
    targets |= {events.DOCUMENT, events.SCHEMAS}
    for page in texts:
        files.append(File.generated(config, page, abs_src_path=str(sources.ROOT / page)))
    for page, text in _generated().items():
        files.append(File.generated(config, page, content=text))
    for target in sorted(targets):
        if not target.endswith(sources.DATA_SUFFIXES):
            inclusion = InclusionLevel.NOT_IN_NAV
            files.append(
                File.generated(config, sources.page_of(target), content=sources.shown(target), inclusion=inclusion)
            )
        for path in sources.data_in(target):
            files.append(File.generated(config, path, abs_src_path=str(sources.ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draws the diagrams of a page, and translates its links and its dialect."""
    path = page.file.src_uri
    text, images = diagrams.extract(path, sources.with_links_to_pages(path, markdown))
    for name, image in images.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, content=image))
    return dialect.translated(text)


@cache
def _generated() -> dict[str, str]:
    asyncapi = json.loads((sources.ROOT / events.DOCUMENT).read_text(encoding="utf-8"))
    openapi = rest.openapi_document()
    return {
        **events.event_pages(asyncapi),
        **rest.rest_pages(openapi),
        _OPENAPI: json.dumps(openapi, indent=2, ensure_ascii=False),
    }


def _expanded(entries: list[Any]) -> list[Any]:
    return [expanded for entry in entries for expanded in _expanded_entry(entry)]


def _expanded_entry(entry: Any) -> Iterator[Any]:
    """Yields an entry of the navigation: a path, or a title with a path or with more entries."""
    if isinstance(entry, dict):
        for title, value in entry.items():
            if isinstance(value, list):
                yield {title: _expanded(value)}
            else:
                yield {title: list(_expanded_entry(value)) if value.endswith("/") else value}
    elif entry.endswith("/"):
        pages = [page for page in (*sources.pages(), *_generated()) if page.startswith(entry) and page.endswith(".md")]
        yield from sorted(pages, key=lambda page: (page.removeprefix(entry) not in _FIRST, page))
    else:
        yield entry
