"""A call's script: the template that the campaign wrote, filled with the variables of one contact.

The first paragraph is the greeting, spoken word for word, so that it can be synthesized before the phone rings. The
rest tells the model what the call is for. A paragraph that begins with ``Fallback:`` is spoken, word for word too, in a
turn in which no model answers. A placeholder is ``{{name}}``.
"""

import re
from collections.abc import Mapping

_FALLBACK = re.compile(r"\s*fallback:", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def missing_variables(template: str, variables: Mapping[str, str]) -> list[str]:
    """The placeholders that have no value. Raises ValueError at a ``{{`` that is not the start of ``{{name}}``."""
    if "{{" in _PLACEHOLDER.sub("", template):
        raise ValueError("script_template has a '{{' without a name and '}}' after it; write {{name}}")
    return [name for name in _PLACEHOLDER.findall(template) if name not in variables]


def render(template: str, variables: Mapping[str, str]) -> str:
    """The script of one call. Raises KeyError at a missing variable: contracts refuse such a request at the door."""
    return _PLACEHOLDER.sub(lambda match: variables[match[1]], template)


def greeting(script: str) -> str:
    """The first paragraph of a rendered script, as one line: what the callee hears first."""
    return _line(_paragraphs(script)[0])


def fallback_line(script: str) -> str | None:
    """The script's own line for when no model answers: the later paragraph that begins with ``Fallback:``."""
    for paragraph in _paragraphs(script)[1:]:
        if (mark := _FALLBACK.match(paragraph)) and (line := _line(paragraph[mark.end() :])):
            return line
    return None


def without_fallback(script: str) -> str:
    """The script without the paragraph that is not the model's to say."""
    first, *others = _paragraphs(script)
    return "\n\n".join([first, *(paragraph for paragraph in others if not _FALLBACK.match(paragraph))])


def _paragraphs(script: str) -> list[str]:
    return re.split(r"\n\s*\n", script.strip())


def _line(paragraph: str) -> str:
    return " ".join(paragraph.split())
