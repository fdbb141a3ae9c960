"""Limits of the texts of a request: what may enter a script, and the names under which values are given.

Asked where requests enter, not when a stored event is read again: the limits may change, and old logs must be readable.
A value is spoken and is shown to the model. So it is one line of bounded length, and has no character that changes how
the text around it is read.
"""

import re
import unicodedata
from collections.abc import Mapping

MAX_VARIABLES = 100
MAX_NAME_CHARACTERS = 64
MAX_VALUE_CHARACTERS = 200
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
"""Categories of Unicode: control characters, the line separator and the paragraph separator."""
_INVISIBLE = frozenset({"Cf", "Cn", "Co", "Cs"})
"""Categories of Unicode: format characters, unassigned, private and surrogate code points."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need: the zero-width non-joiner and joiner."""
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters with the property Bidi_Control (Unicode, annex 9): they change the order of the text around them."""
_LAYOUT = frozenset("\n\r\t")


def template_refusals(template: str | None, field: str = "script_template") -> list[str]:
    """Returns why a template is refused; empty if it is acceptable."""
    if template is None or not _has_controls(template, allowed=_LAYOUT):
        return []
    return [f"{field}: it has a control character; use line breaks and tabs only"]


def variable_refusals(variables: Mapping[str, str] | None) -> list[str]:
    """Returns why variables are refused, one line per variable; empty if they are acceptable."""
    refusals = []
    for name, value in (variables or {}).items():
        if len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
            remedy = f"write letters, digits and _, at most {MAX_NAME_CHARACTERS}"
            refusals.append(f"variables: a name is not acceptable; {remedy}")
        elif len(value) > MAX_VALUE_CHARACTERS:
            limit = f"at most {MAX_VALUE_CHARACTERS} are accepted; shorten it"
            refusals.append(f"variables: {name} has {len(value)} characters; {limit}")
        elif value.isprintable():  # so it has no character of the categories below; most values end here
            continue
        elif _has_controls(value):
            refusals.append(f"variables: {name} has a line break or a control character; write it as one plain line")
        elif _has_invisible(value):
            refusals.append(f"variables: {name} has an invisible or unassigned character; write visible text only")
    return refusals


def metadata_refusals(metadata: Mapping[str, str] | None) -> list[str]:
    """Returns why metadata are refused; empty if they are acceptable."""
    if not metadata or all(_is_metadata_name(name) for name in metadata):
        return []
    return [f"metadata: a name is not acceptable; write 1 to {MAX_NAME_CHARACTERS} characters, no control characters"]


def name_refusals(name: str | None, field: str = "name") -> list[str]:
    """Returns why a name for people is refused; empty if it is acceptable."""
    if name is None or not (_has_controls(name) or _has_invisible(name)):
        return []
    return [f"{field}: it has a line break, a control character or an invisible character; write one plain line"]


def _is_metadata_name(name: str) -> bool:
    """Whether a name is short, and UTF-8 can encode it: JSON can contain lone surrogates."""
    has_surrogate = any(unicodedata.category(character) == "Cs" for character in name)
    return 0 < len(name) <= MAX_NAME_CHARACTERS and not has_surrogate and not _has_controls(name)


def _has_invisible(text: str) -> bool:
    return any(unicodedata.category(character) in _INVISIBLE for character in set(text) - _JOINERS)


def _has_controls(text: str, *, allowed: frozenset[str] = frozenset()) -> bool:
    return any(
        character in _BIDIRECTIONAL or (unicodedata.category(character) in _CONTROLS and character not in allowed)
        for character in set(text)
    )
