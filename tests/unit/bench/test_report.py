"""The table of the benchmark of whole calls: ratios between sizes of the log and between checkouts."""

import pytest
from bench.calls.operations import SPREAD, _figures
from bench.calls.report import print_table
from bench.calls.system import Variant

CPU, GRANT = "unanswered: CPU of our services, ms", "operation: grant"


def test_the_figures_of_an_operation_are_its_median_and_the_distance_of_its_quartiles() -> None:
    figures = _figures({"grant": [0.001, 0.002, 0.003, 0.004, 0.100], "dial": [0.5]})
    assert figures == {
        f"{GRANT}, ms": pytest.approx(3),
        f"{GRANT}, {SPREAD}": pytest.approx(2),
    }, "one sample has no spread, so it is no figure"


def test_each_row_has_the_ratio_of_the_sizes_and_that_of_the_checkouts(capsys: pytest.CaptureFixture[str]) -> None:
    def figures(value: float) -> list[dict[str, float]]:
        return [{CPU: value, f"{GRANT}, ms": value / 10, f"{GRANT}, {SPREAD}": value / 100}]

    columns = {("before", 1_000): figures(100), ("present", 1_000): figures(25), ("present", 5_000): figures(30)}
    print_table(columns, Variant(), {"unanswered": 1}, details=False)
    printed = capsys.readouterr().out
    assert "present / before" in printed
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in printed.splitlines() if "│ " in line}
    assert [cell.strip() for cell in rows[CPU]] == ["100.0", "25.0", "30.0", "1.20", "0.25"]
    assert [cell.strip() for cell in rows[f"{GRANT}, ms"]] == ["10.0", "2.50", "3.00", "1.20", "0.25"]
    assert [cell.strip() for cell in rows[f"{GRANT}, {SPREAD}"]] == ["1.00", "0.25", "0.30", "", ""]
