"""The files of the repository that the site shows: pages, and the files to which they link."""

import csv
import re
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from pygments.lexers import find_lexer_class_for_filename  # type: ignore[import-untyped]

from centralita.docs.site.schemas import prose

ROOT = Path(__file__).parents[5]
"""The repository. The site is built from a checkout only."""
PAGES = ("*.md", "docs/**/*.md", "libs/*/README.md", "services/*/README.md", "tools/README.md", "tools/*/README.md")
DATA_SUFFIXES = (".json", ".png")
"""Files that are copied as they are: programs read them, or they are pictures."""
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#:]+)(?=[)#])")
_URL = re.compile(r"https?://[^\s;|]+")
_FILES = "files"
_FENCE = "`" * 5


@cache
def pages(root: Path = ROOT) -> tuple[str, ...]:
    """Returns the paths of all pages, relative to the root."""
    return tuple(sorted({str(path.relative_to(root)) for pattern in PAGES for path in root.glob(pattern)}))


def linked_targets(page: str, text: str, root: Path = ROOT) -> set[str]:
    """Returns the files and folders of the repository to which a page links, except other pages."""
    found = {_resolved(page, match["target"]) for match in _LINK.finditer(text)}
    outside = ("..", "/")
    return {path for path in found if not path.startswith(outside) and path[-3:] != ".md" and (root / path).exists()}


def with_links_to_pages(page: str, text: str, root: Path = ROOT) -> str:
    """Returns the text of a page, with links to the pages that show the repository's other files."""
    targets = linked_targets(page, text, root)

    def replacement(match: re.Match[str]) -> str:
        target = _resolved(page, match["target"])
        if target not in targets or target.endswith(DATA_SUFFIXES):
            return match[0]
        return relpath(page_of(target), dirname(page) or ".")

    return _LINK.sub(replacement, text)


def page_of(target: str) -> str:
    """Returns the path of the page that shows a file or a folder."""
    return f"{_FILES}/{target.lstrip('.')}.md"


def shown(target: str, root: Path = ROOT) -> str:
    """Returns the page of a file, or of a folder whose files are data. The site's search leaves it out."""
    path = root / target
    head = f"---\nsearch:\n  exclude: true\n---\n# {target}\n\n"
    if path.is_dir():
        here = dirname(page_of(target))
        names = sorted(file.name for file in path.iterdir() if file.suffix in DATA_SUFFIXES)
        return head + "\n".join(f"- [{name}]({relpath(join(target, name), here)})" for name in names) + "\n"
    if path.suffix == ".csv":
        return head + _table(path)
    return f"{head}{_FENCE}{_language(path.name)}\n{path.read_text(encoding='utf-8').rstrip()}\n{_FENCE}\n"


def data_in(target: str, root: Path = ROOT) -> list[str]:
    """Returns the paths of the data files of a folder, or the one data file itself."""
    path = root / target
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [str(file.relative_to(root)) for file in files if file.suffix in DATA_SUFFIXES]


def _resolved(page: str, target: str) -> str:
    return normpath(join(dirname(page), target))


def _table(path: Path) -> str:
    """Returns the rows of a CSV file, with its addresses as links."""
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    lines = [[_URL.sub(r"<\g<0>>", prose(cell)) for cell in row] for row in (names, ["---"] * len(names), *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _language(name: str) -> str:
    lexer = find_lexer_class_for_filename(name)
    return lexer.aliases[0] if lexer else "text"
