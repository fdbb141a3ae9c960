"""The arguments of the benchmark of imports."""

import pytest
from bench.contacts import SIZES, sizes


def test_the_numbers_of_rows_are_arguments_with_a_default() -> None:
    assert tuple(sizes([])) == SIZES
    assert sizes(["10", "2000"]) == [10, 2_000]


@pytest.mark.parametrize("argument", ["0", "-1", "ten", "--help"])
def test_a_wrong_argument_or_the_help_ends_before_anything_is_measured(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sizes([argument])
    shown = capsys.readouterr()
    assert "ROWS" in shown.out + shown.err
