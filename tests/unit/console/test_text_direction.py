"""Marks of direction in a text: what follows the text is never turned."""

import pytest

from centralita_console.text_direction import closed

LRE, RLE, PDF, LRO, RLO = "\u202a", "\u202b", "\u202c", "\u202d", "\u202e"
LRI, RLI, FSI, PDI = "\u2066", "\u2067", "\u2068", "\u2069"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        (f"{RLO}turned", f"{RLO}turned{PDF}"),
        (f"{RLO}{RLI}turned", f"{RLO}{RLI}turned{PDI}{PDF}"),
        (f"{RLE}a{PDF}b{FSI}c{PDI}", f"{RLE}a{PDF}b{FSI}c{PDI}"),
        (f"a{PDI}b", "ab"),
        (f"a{PDF}b", "ab"),
        (f"{RLI}a{LRE}b{PDI}c{PDF}", f"{RLI}a{LRE}b{PDI}c"),
        (f"{RLO}a{LRI}b{PDF}c", f"{RLO}a{LRI}bc{PDI}{PDF}"),
        (LRO * 3, LRO * 3 + PDF * 3),
    ],
    ids=ascii,
)
def test_a_text_closes_what_it_opens_and_nothing_else(text: str, shown: str) -> None:
    assert closed(text) == shown
    assert closed(shown) == shown


def test_a_text_of_marks_alone_costs_little_more_than_its_length() -> None:
    assert len(closed(RLI * 4_000)) == 8_000
    assert closed(PDI * 4_000) == ""
