"""The script of a call: the campaign's template with the variables of one contact.

The first paragraph is the greeting. It is spoken word for word, so that it can be synthesized before the phone rings.
The rest is the purpose of the call, for the model. A paragraph that begins with ``Fallback:`` is spoken word for word
when no model answers. A placeholder is ``{{name}}``.
"""

import re
from collections.abc import Mapping

_FALLBACK = re.compile(r"\s*fallback:", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def missing_variables(template: str, variables: Mapping[str, str]) -> list[str]:
    """Returns the placeholders without a value. Raises ValueError at a ``{{`` that does not begin ``{{name}}``."""
    if "{{" in _PLACEHOLDER.sub("", template):
        raise ValueError("script_template has a '{{' without a name and '}}' after it; write {{name}}")
    return [name for name in _PLACEHOLDER.findall(template) if name not in variables]


def render(template: str, variables: Mapping[str, str]) -> str:
    """Returns the script of one call. Raises KeyError if a variable is missing; a valid request has all."""
    return _PLACEHOLDER.sub(lambda match: variables[match[1]], template)


def greeting(script: str) -> str:
    """Returns the greeting: the first paragraph of a rendered script, as one line."""
    return _line(_paragraphs(script)[0])


def fallback_line(script: str) -> str | None:
    """Returns the text of the paragraph that begins with ``Fallback:``, or none.

    The first paragraph is always the greeting, never the fallback line.
    """
    for paragraph in _paragraphs(script)[1:]:
        if (mark := _FALLBACK.match(paragraph)) and (line := _line(paragraph[mark.end() :])):
            return line
    return None


def without_fallback(script: str) -> str:
    """Returns the script without its fallback paragraphs."""
    first, *others = _paragraphs(script)
    return "\n\n".join([first, *(paragraph for paragraph in others if not _FALLBACK.match(paragraph))])


def _paragraphs(script: str) -> list[str]:
    return re.split(r"\n\s*\n", script.strip())


def _line(paragraph: str) -> str:
    return " ".join(paragraph.split())
