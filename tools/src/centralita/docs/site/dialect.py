"""Translates GitHub's Markdown, in which the pages are written, into the one of Python-Markdown.

GitHub begins a list or a table below a paragraph without a blank line, and counts the indentation of an item's content
from its marker. Python-Markdown needs the blank line, and four spaces per level.
"""

import re
from collections.abc import Iterator

_ITEM = re.compile(r"(?P<marker>([-*+]|\d+[.)]) +)\S")
_FENCE = ("```", "~~~")
_LEVEL = " " * 4


def translated(text: str) -> str:
    """Returns the text with a blank line before each list and table, and four spaces per level of a list."""
    return "\n".join(_lines(text)) + "\n"


def _lines(text: str) -> Iterator[str]:
    offsets: list[int] = []
    """Where the content of each open item begins, the outermost item first."""
    is_code = has_paragraphs = False
    before = ""
    for line in text.splitlines():
        content = line.lstrip(" ")
        indentation = len(line) - len(content)
        is_fence = content.startswith(_FENCE)
        item = None if is_code or is_fence else _ITEM.match(content)
        starts_list = item is not None and (not offsets or has_paragraphs)
        starts_table = not is_code and content.startswith("|") and not before.startswith("|")
        # A line below text continues it, however it is indented, unless it is an item.
        if content and not is_code and (item or not before):
            while offsets and indentation < offsets[-1]:
                offsets.pop()
        if before and (starts_list or starts_table):
            yield ""
        kept = max(indentation - (offsets[-1] if offsets else 0), 0)
        yield _LEVEL * len(offsets) + " " * kept + content if content else ""
        # After a second paragraph of an item, the next item needs a blank line, too.
        has_paragraphs = not item and (has_paragraphs or not content)
        if item:
            offsets.append(indentation + len(item["marker"]))
        is_code = is_code != is_fence
        before = content
