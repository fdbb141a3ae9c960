"""Reads the rows of rules from CSV files, and makes rules of them."""

from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path

from call_orchestrator.domain.calling_policy.rows import (
    COLUMNS,
    EVERY_REGION,
    REQUIRES,
    Row,
    RuleKey,
    checked_row,
)
from call_orchestrator.domain.calling_policy.rules import DEFAULT_COUNTRY, Requirement, Rule
from call_orchestrator.domain.calling_policy.windows import WEEKDAYS, Windows, united
from call_orchestrator.domain.tables import InvalidTable, read_file, read_lines


def shipped_rows() -> list[Row]:
    """Returns the rows of the package's own table."""
    name = "rules.csv"
    return read_rows((resources.files(__package__) / name).read_bytes(), name)


def former_rows(rows: list[Row]) -> list[Row]:
    """Returns the shipped rows as builds had them that required nothing: what they decided is verified by these."""
    without = (replace(row, requires=frozenset()) for row in rows)
    return [row for row in without if row.windows or row.cap or row.requires_consent]


def override_rows(path: Path) -> list[Row]:
    """Returns the rows of an operator's file. Raises InvalidTable."""
    return read_rows(read_file(path, "CALLING_RULES"), str(path))


def replaced(rows: list[Row], by: list[Row]) -> list[Row]:
    """Returns the rows, without those of each country and region that the other rows name, and the other rows."""
    places = {(row.country, row.region) for row in by}
    whole = {country for country, region in places if region == EVERY_REGION}
    kept = [row for row in rows if row.country not in whole and (row.country, row.region) not in places]
    of_country = [replace(row, region="") if row.region == EVERY_REGION else row for row in by]
    return ([] if DEFAULT_COUNTRY in whole else kept) + of_country


def read_rows(content: bytes, name: str) -> list[Row]:
    """Returns the rows of a CSV file. Raises InvalidTable, which names `name`, line, column and remedy."""
    rows = [checked_row(line) for line in read_lines(content, name, COLUMNS, (REQUIRES,))]
    _check_default(rows, name)
    rules_of(rows, name)
    return rows


def rules_of(rows: Iterable[Row], name: str = "rules") -> list[Rule]:
    """Returns the rules that the rows make. Raises InvalidTable if a rule both opens and closes a day."""
    by_rule: dict[RuleKey, list[Row]] = {}
    for row in rows:
        by_rule.setdefault(row.key, []).append(row)
    return [_rule_of(together, name) for together in by_rule.values()]


def _rule_of(rows: list[Row], name: str) -> Rule:
    windows: dict[str, Windows] = {}
    first = rows[0]
    for row in rows:
        if row.kind != first.kind:
            raise InvalidTable(
                f"{name}, line {row.line}, column kind: line {first.line} has the same rule and the kind {first.kind}; "
                "write the same kind, or another basis"
            )
        for day, window in row.windows.items():
            known = windows.setdefault(day, window)
            if bool(known) != bool(window):
                raise InvalidTable(
                    f"{name}, line {row.line}, column days: another row of the same rule closes or opens {day} "
                    "differently; leave the day out of one of them"
                )
            windows[day] = united((*known, *window))
    return Rule(
        country=first.country,
        region=first.region,
        purposes=first.purposes,
        kind=first.kind,
        basis=first.basis,
        windows=windows,
        caps=tuple(dict.fromkeys(row.cap for row in rows if row.cap)),
        requires_consent=any(row.requires_consent for row in rows),
        requires=frozenset[Requirement]().union(*(row.requires for row in rows)),
    )


def _check_default(rows: list[Row], name: str) -> None:
    """Raises InvalidTable if rows of the house default leave a weekday out, which would be open all day."""
    default = [row for row in rows if row.country == DEFAULT_COUNTRY]
    named = {day for row in default if not row.purposes for day in row.windows}
    if default and (missing := [day for day in WEEKDAYS if day not in named]):
        raise InvalidTable(
            f"{name}, line {default[0].line}, column days: the default (country *) does not name {' '.join(missing)} "
            "for all purposes; add a row with purposes * and these days, without hours if they are closed"
        )
