"""The script of a call: the campaign's template with the variables of one contact.

The first paragraph is the greeting. It is spoken word for word, so that it can be synthesized before the phone rings.
The rest is the purpose of the call, for the model. A paragraph that begins with ``Fallback:`` is spoken word for word
when no model answers. A placeholder is ``{{name}}``.

The template alone determines the paragraphs: it is divided before a value is filled in. So a value can neither end the
greeting nor begin a paragraph.
"""

import re
from collections.abc import Mapping

from contracts.texts import MAX_VALUE_CHARACTERS

_MAX_CHARACTER_BYTES = 4
MAX_SCRIPT_BYTES = 32_768
"""The longest script with its values filled in, in UTF-8."""
_FALLBACK = re.compile(r"\s*fallback:", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def missing_variables(template: str, variables: Mapping[str, str], field: str = "script_template") -> list[str]:
    """Returns the placeholders without a value, each once. Raises ValueError at a ``{{`` that begins no placeholder."""
    if "{{" in _PLACEHOLDER.sub("", template):
        raise ValueError(f"{field} has a '{{{{' without a name and '}}}}' after it; write {{{{name}}}}")
    return [name for name in _placeholders(template) if name not in variables]


def uses_variables(template: str) -> bool:
    """Returns whether a template has placeholders."""
    return bool(_PLACEHOLDER.search(template))


def used_variables(template: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that a template without missing ones uses, in its order."""
    return {name: variables[name] for name in _placeholders(template)}


def size_refusals(template: str, variables: Mapping[str, str]) -> list[str]:
    """Returns why a script without missing variables is too long; empty if it is not. Computed without rendering it."""
    byte_counts = {name: len(value.encode()) for name, value in used_variables(template, variables).items()}
    size = len(_PLACEHOLDER.sub("", template).encode())
    size += sum(byte_counts[name] for name in _PLACEHOLDER.findall(template))
    if size <= MAX_SCRIPT_BYTES:
        return []
    remedy = "shorten it, or use its placeholders fewer times"
    return [f"script_template: {size} bytes with its variables; at most {MAX_SCRIPT_BYTES} are accepted: {remedy}"]


def template_size_refusals(template: str) -> list[str]:
    """Returns why a template is too long without its values; empty if it is not."""
    return size_refusals(template, dict.fromkeys(_placeholders(template), ""))


def accepts_all_values(template: str) -> bool:
    """Whether the script is short enough and has a greeting with any acceptable values of its variables."""
    max_bytes = (
        len(template.encode()) + len(_PLACEHOLDER.findall(template)) * MAX_VALUE_CHARACTERS * _MAX_CHARACTER_BYTES
    )
    return max_bytes <= MAX_SCRIPT_BYTES and bool(_PLACEHOLDER.sub("", greeting(template)).strip())


def is_empty(template: str, variables: Mapping[str, str]) -> bool:
    """Whether a script without missing variables has no text."""
    return not _PLACEHOLDER.sub("", template).strip() and not any(
        value.strip() for value in used_variables(template, variables).values()
    )


def greeting_refusals(template: str, variables: Mapping[str, str]) -> list[str]:
    """Returns why a script without missing variables has no greeting; empty if it has one."""
    if render_greeting(template, variables):
        return []
    return ["script_template has no text in its first paragraph: that is the greeting"]


def greeting(template: str) -> str:
    """Returns the first paragraph of a template, as one line."""
    return _line(_paragraphs(template)[0])


def render_greeting(template: str, variables: Mapping[str, str]) -> str:
    """Returns the first paragraph with its values, as one line. Raises KeyError if a variable is missing.

    It is empty if its values are. The next paragraph is never the greeting: it is for the model only.
    """
    return _line(_render(_paragraphs(template)[0], variables))


def render_known(template: str, variables: Mapping[str, str]) -> str:
    """Returns all of a template with its values, for people; a placeholder without a value stays as it is."""
    return _PLACEHOLDER.sub(lambda match: variables.get(match[1], match[0]), template)


def render_line(template: str, variables: Mapping[str, str]) -> str:
    """Returns all of a template with its values, as one line. Raises KeyError if a variable is missing."""
    return _line(_render(template, variables))


def render_fallback_line(template: str, variables: Mapping[str, str]) -> str | None:
    """Returns the text of the paragraph that begins with ``Fallback:``, or none. Raises KeyError.

    The first paragraph is always the greeting, never the fallback line.
    """
    for paragraph in _paragraphs(template)[1:]:
        if (mark := _FALLBACK.match(paragraph)) and (line := _line(_render(paragraph[mark.end() :], variables))):
            return line
    return None


def without_fallback(template: str) -> str:
    """Returns the template without its fallback paragraphs."""
    first, *others = _paragraphs(template)
    return "\n\n".join([first, *(paragraph for paragraph in others if not _FALLBACK.match(paragraph))])


def _placeholders(template: str) -> list[str]:
    return list(dict.fromkeys(_PLACEHOLDER.findall(template)))


def _render(text: str, variables: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: variables[match[1]], text)


def _paragraphs(template: str) -> list[str]:
    return re.split(r"\n\s*\n", template.strip())


def _line(paragraph: str) -> str:
    return " ".join(paragraph.split())
