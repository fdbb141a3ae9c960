"""README.md and its Spanish translation describe the same REST API, and each path of it exists."""

import re

import pytest

from centralita.docs.site.rest import openapi_document
from centralita.docs.site.sources import ROOT

ROW = re.compile(r"^\| (`(?:GET|POST|PUT|DELETE) [^|]*?) \|", re.MULTILINE)
PATH = re.compile(r"(/[a-z_{}/-]+)")


def rows(name: str) -> set[str]:
    """Returns the first cells of the table of the REST API."""
    return set(ROW.findall((ROOT / name).read_text(encoding="utf-8")))


def test_both_readmes_have_the_same_requests() -> None:
    assert len(rows("README.md")) > 20
    assert rows("README.md") == rows("README.es.md")


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_each_request_of_a_readme_exists(name: str) -> None:
    known = {re.sub(r"{[a-z_]+}", "{}", path) for path in openapi_document()["paths"]}
    for row in rows(name):
        first, *others = (re.sub(r"{[a-z_]+}", "{}", path) for path in PATH.findall(re.sub(r"\?[^`]*", "", row)))
        assert f"/api/v1{first}" in known, row
        parent = first.rpartition("/")[0]
        for other in others:
            assert not {f"/api/v1{base}{other}" for base in ("", parent, first)}.isdisjoint(known), (row, other)
