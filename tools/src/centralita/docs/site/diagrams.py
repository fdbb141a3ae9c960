"""Draws Mermaid diagrams when the site is built. In the browser, Material would load Mermaid from another host."""

import re
from hashlib import sha256
from posixpath import dirname, relpath

import mmdr

_FENCE = re.compile(r"^```mermaid\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMES = {"flowchart": "Flow chart", "stateDiagram-v2": "State diagram"}


def extract(page: str, text: str) -> tuple[str, dict[str, str]]:
    """Returns the text with an image in place of each diagram, and the images: SVG by path."""
    images: dict[str, str] = {}

    def replacement(match: re.Match[str]) -> str:
        source = match["source"]
        path = f"diagrams/{sha256(source.encode()).hexdigest()[:16]}.svg"
        images[path] = mmdr.render(source).svg()
        target = relpath(path, dirname(page) or ".")
        return f"[![{_NAMES.get(source.split()[0], 'Diagram')}: opens in full size]({target})]({target})"

    return _FENCE.sub(replacement, text), images
