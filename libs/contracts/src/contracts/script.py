"""A call's script: the template that the campaign wrote, filled with the variables of one contact.

The first paragraph is the greeting, spoken word for word, so that it can be synthesized before the phone rings. The
rest tells the model what the call is for. A placeholder is ``{{name}}``.
"""

import re
from collections.abc import Mapping

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
    return " ".join(re.split(r"\n\s*\n", script.strip(), maxsplit=1)[0].split())
