"""The table of rules: what is shipped, how an operator's file changes it, and how errors are reported."""

import csv
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.builders.policies import ANY_TIME_POLICY
from tests.unit.call_orchestrator.calling_policy.minute_scan import SHIPPED

from call_orchestrator.domain.calling_policy import (
    CallingPolicy,
    Forbidden,
    Permitted,
    PutOff,
    Requirement,
)
from call_orchestrator.domain.calling_policy.policy import package_versions
from call_orchestrator.domain.calling_policy.rows import COLUMNS
from call_orchestrator.domain.calling_policy.table import rules_of, shipped_rows
from call_orchestrator.domain.tables import InvalidTable
from contracts.callees import callee_of
from contracts.vocabulary import Purpose

HEADER = ",".join(COLUMNS)
VALID = "US,FL,sales,any,mon-fri hol,09:00,18:00,2,24,no,law,our counsel,memo 7,high"
NOON = datetime(2026, 12, 1, 17, tzinfo=UTC)


def write(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    file = tmp_path / "rules.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def decide(policy: CallingPolicy, number: str, at: datetime = NOON) -> Permitted | PutOff | Forbidden:
    return policy.next_permitted(callee_of(number), purpose=Purpose.SALES, at=at)


def test_every_shipped_row_names_its_basis_source_and_confidence() -> None:
    with SHIPPED.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 90
    assert all(row["basis"] and row["source"] and row["confidence"] in ("low", "medium", "high") for row in rows)
    assert {row["country"] for row in rows if row["kind"] == "house_default"} == {"*", "GB", "DE", "AT"}


def test_the_page_for_users_names_every_country_and_region_of_the_table() -> None:
    page = (Path(__file__).parents[4] / "docs/compliance.md").read_text(encoding="utf-8")
    covered = page.partition("## What is covered")[2].partition("## What is not covered")[0]
    named = {word.strip(":,|") for line in covered.splitlines() for word in line.partition("| ")[2].split()}
    with SHIPPED.open(encoding="utf-8", newline="") as lines:
        places = {place for row in csv.DictReader(lines) for place in (row["country"], row["region"])}
    assert places - {"*", ""} <= named


def test_rows_of_a_file_replace_those_of_the_same_country_and_region(tmp_path: Path) -> None:
    policy = CallingPolicy.shipped(write(tmp_path, VALID))
    in_florida = decide(policy, "+13055550123", NOON.replace(hour=13, minute=30))
    assert isinstance(in_florida, PutOff)
    assert "outside 09:00-18:00 (US-FL: our counsel)" in in_florida.reason.detail
    shipped = CallingPolicy.shipped()
    assert decide(policy, "+12065550123").reason.detail == decide(shipped, "+12065550123").reason.detail
    saturday = datetime(2026, 12, 5, 13, 30, tzinfo=UTC)
    assert isinstance(decide(policy, "+13055550123", saturday), Permitted), "the rule of the country remains"
    assert policy.version != shipped.version


def test_rows_without_days_remove_the_shipped_rules_of_a_region(tmp_path: Path) -> None:
    policy = CallingPolicy.shipped(write(tmp_path, "US,ME,*,any,,,,,,no,law,checked by counsel,,high"))
    evening = datetime(2026, 12, 1, 23, tzinfo=UTC)
    assert isinstance(decide(CallingPolicy.shipped(), "+12075550123", evening), PutOff)
    assert isinstance(decide(policy, "+12075550123", evening), Permitted)


def test_rows_of_the_region_star_replace_a_country_with_all_its_regions(tmp_path: Path) -> None:
    row = "US,*,*,any,mon-sun hol,06:00,24:00,,,no,law,checked by counsel,,high"
    policy = CallingPolicy.shipped(write(tmp_path, row))
    late = datetime(2026, 12, 6, 4, 30, tzinfo=UTC)
    assert isinstance(decide(policy, "+13055550123", late), Permitted)
    assert isinstance(decide(policy, "+12075550123", late), Permitted)
    assert isinstance(decide(policy, "+34612345678", late), PutOff), "other countries keep their rules"


def test_rows_of_the_country_star_with_the_region_star_replace_the_whole_table(tmp_path: Path) -> None:
    policy = CallingPolicy.shipped(write(tmp_path, "*,*,*,any,mon-sun,00:00,24:00,,,no,house_default,tests,,high"))
    sunday_night = datetime(2026, 12, 6, 3, tzinfo=UTC)
    for number in ("+13055550123", "+34612345678", "+254712345678"):
        assert isinstance(decide(policy, number, sunday_night), Permitted)


def test_rows_of_the_country_star_replace_the_house_default(tmp_path: Path) -> None:
    kenya, evening = "+254712345678", datetime(2026, 12, 1, 18, tzinfo=UTC)
    assert isinstance(decide(CallingPolicy.shipped(), kenya, evening), PutOff)
    policy = CallingPolicy.shipped(write(tmp_path, "*,,*,any,mon-sun,08:00,22:00,2,24,no,house_default,ours,,low"))
    assert isinstance(decide(policy, kenya, evening), Permitted)
    capped = policy.next_permitted(callee_of(kenya), purpose=Purpose.SALES, at=evening, dialed_at=[evening] * 2)
    assert isinstance(capped, PutOff)
    assert capped.reason.rule == "frequency"


def test_a_date_of_a_file_comes_before_weekday_and_holiday(tmp_path: Path) -> None:
    policy = CallingPolicy.shipped(
        write(
            tmp_path,
            "EG,,*,any,mon-sun hol,09:00,20:00,,,no,law,x,,low",
            "EG,,*,any,2026-12-01,,,,,no,law,x,,low",
        )
    )
    decision = decide(policy, "+201001234567")
    assert isinstance(decision, PutOff)
    assert decision.until == datetime(2026, 12, 2, 7, tzinfo=UTC)


def test_the_version_identifies_the_rules_and_not_the_order_of_their_rows(tmp_path: Path) -> None:
    other = VALID.replace("FL", "TX")
    first = CallingPolicy.shipped(write(tmp_path, VALID, other)).version
    assert CallingPolicy.shipped(write(tmp_path, other, VALID)).version == first
    assert CallingPolicy.shipped(write(tmp_path, VALID, other.replace("18:00", "18:30"))).version != first


def test_the_version_identifies_the_packages_that_know_holidays_and_time_zones() -> None:
    rules = rules_of(shipped_rows())
    installed = CallingPolicy(rules)
    assert package_versions() == (f"holidays {version('holidays')}", f"tzdata {version('tzdata')}")
    assert installed.version == CallingPolicy(rules, package_versions()).version
    others = [CallingPolicy(rules, packages).version for packages in (("holidays 0.1",), ("tzdata 2020.1",), ())]
    assert len({installed.version, *others}) == 4
    assert installed.versions == {installed.version, others[-1]}, "older builds recorded the rules alone"


def test_spreadsheets_may_write_a_byte_order_mark_and_other_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "rules.csv"
    file.write_bytes(f"{HEADER}\r\n{VALID}\r\n\r\n".encode("utf-8-sig"))
    assert CallingPolicy.shipped(file).version == CallingPolicy.shipped(write(tmp_path, VALID)).version


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("country", "XX", "'XX' is no country; write two capital letters"),
        ("country", "*", "the default (country *) has no regions"),
        ("region", "ZZ", "'ZZ' is no region of US; write one of AK AL"),
        ("purposes", "marketing", "'marketing' names no purpose; write * for all, or some of sales service"),
        ("purposes", "emergency", "'emergency' names no purpose"),
        ("purposes", "", "'' names no purpose"),
        ("voice", "robot", "'robot' is not known; write one of automated any"),
        ("days", "weekend", "'weekend' names no weekday"),
        ("days", "fri-mon", "'fri-mon' is no range"),
        ("days", "mon-", "'mon-' is no range"),
        ("days", "2026-13-01", "'2026-13-01' is no date; write it as 2026-12-24"),
        ("days", "", "hours without days"),
        ("opens_at", "9", "'9' is no time; write HH:MM"),
        ("opens_at", "", "opens_at and closes_at belong together"),
        ("closes_at", "", "opens_at and closes_at belong together"),
        ("closes_at", "09:00", "09:00 is not after 09:00"),
        ("closes_at", "25:00", "'25:00' is no time"),
        ("max_calls", "0", "'0' is no number from 1 to"),
        ("max_calls", "65", "'65' is no number from 1 to 64; correct it, or leave it empty for no cap"),
        ("max_calls", "many", "'many' is no number"),
        ("max_calls", "", "max_calls and within_hours belong together"),
        ("within_hours", "", "max_calls and within_hours belong together"),
        ("requires_consent", "maybe", "'maybe' is not known; write one of yes no"),
        ("kind", "rumour", "'rumour' is not known; write one of law code house_default"),
        ("basis", "", "empty; name the law"),
        ("confidence", "none", "'none' is not known; write one of low medium high"),
    ],
)
def test_an_invalid_value_is_reported_with_file_line_column_and_remedy(
    tmp_path: Path, column: str, value: str, problem: str
) -> None:
    cells = dict(zip(HEADER.split(","), VALID.split(","), strict=True)) | {column: value}
    file = write(tmp_path, VALID.replace("FL", "TX"), ",".join(cells.values()))
    with pytest.raises(InvalidTable) as raised:
        CallingPolicy.shipped(file)
    assert str(raised.value).startswith(f"{file}, line 3, column ")
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["US,FL"], "line 2: 2 columns instead of 14"),
        (
            [VALID, VALID.replace("mon-fri hol,09:00,18:00", "fri,,")],
            "line 3, column days: another row of the same rule",
        ),
        ([VALID, VALID.replace("law", "code")], "line 3, column kind: line 2 has the same rule and the kind law"),
        (
            ["*,,*,any,mon-fri,09:00,20:00,,,no,house_default,x,,low"],
            "line 2, column days: the default (country *) does",
        ),
        (['"US,FL'], "line 2: unexpected end of data"),
    ],
)
def test_contradictory_and_broken_rows_are_reported_with_their_line(
    tmp_path: Path, lines: list[str], problem: str
) -> None:
    with pytest.raises(InvalidTable) as raised:
        CallingPolicy.shipped(write(tmp_path, *lines))
    assert problem in str(raised.value)


def test_a_wrong_header_a_wrong_encoding_and_a_missing_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match=r"line 1: the header must have these columns: country,region"):
        CallingPolicy.shipped(write(tmp_path, VALID, header=HEADER.replace("basis", "law")))
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\n{VALID}\n".encode() + VALID.replace("memo 7", "n° 7").encode("latin-1"))
    with pytest.raises(InvalidTable, match=r"latin.csv, line 3: not UTF-8"):
        CallingPolicy.shipped(latin)
    with pytest.raises(InvalidTable, match=r"missing.csv: No such file .*; CALLING_RULES names a readable CSV file"):
        CallingPolicy.shipped(tmp_path / "missing.csv")


REQUIRING = "US,,sales,any,,,,,,no,law,our counsel,,high"


@pytest.mark.parametrize("words", ["", "consent", "consent disclosure local_caller_id"])
def test_a_rule_may_require_more_than_a_time(tmp_path: Path, words: str) -> None:
    rows = (f"{REQUIRING},{words}", f"US,FL,sales,any,,,,,,no,law,our counsel,,high,{words}")
    policy = CallingPolicy.shipped(write(tmp_path, *rows, header=f"{HEADER},requires"))
    required, met = set(words.split()), set[Requirement]()
    found = []
    while unmet := policy.unmet(callee_of("+13055550123"), purpose=Purpose.SALES, met=met):
        met.add(Requirement(unmet.reason.rule))
        found.append(unmet.reason)
    assert {reason.rule for reason in found} == required
    assert all("(US: our counsel)" in reason.detail or "(US-FL: our counsel)" in reason.detail for reason in found)
    for number, purpose in (("+390612345678", Purpose.SALES), ("+13055550123", Purpose.SERVICE)):
        assert policy.unmet(callee_of(number), purpose=purpose, met=()) is None
    assert (
        policy.version == CallingPolicy.shipped(write(tmp_path, *(row.rpartition(",")[0] for row in rows))).version
    ) is (not words)


def test_an_unknown_requirement_is_refused_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, f"{REQUIRING},permission", header=f"{HEADER},requires")
    with pytest.raises(
        InvalidTable, match=r"line 2, column requires: 'permission' is not known; write some of consent"
    ):
        CallingPolicy.shipped(file)


def test_the_house_default_may_require_consent_of_every_call(tmp_path: Path) -> None:
    rows = (
        "*,,*,any,mon-fri,09:00,20:00,,,no,house_default,our choice,,low,consent",
        "*,,*,any,sat-sun hol,,,,,no,house_default,our choice,,low,",
    )
    policy = CallingPolicy.shipped(write(tmp_path, *rows, header=f"{HEADER},requires"))
    for number in ("+12125550123", "+34912345678", "+81312345678"):
        assert policy.unmet(callee_of(number), purpose=None, met=()) is not None
        assert policy.unmet(callee_of(number), purpose=Purpose.EMERGENCY, met=()) is None


def test_the_rules_of_a_simulated_run_say_that_they_are_those_of_one() -> None:
    decision = decide(ANY_TIME_POLICY, "+12125550123")
    assert isinstance(decision, Permitted)
    assert "(default: simulated run: every hour is permitted)" in decision.reason.detail


@pytest.mark.parametrize(
    ("number", "purposes", "required"),
    [
        ("+12125550123", (None, "sales", "service", "collection", "research"), {"consent", "disclosure"}),
        ("+12125550123", ("emergency",), set[str]()),
        ("+34912345678", (None, "sales"), {"consent", "disclosure"}),
        ("+33123456789", (None, "sales"), {"consent", "disclosure"}),
        ("+16045550123", (None, "sales"), {"consent"}),
        ("+441214960123", (None, "sales"), {"consent"}),
        ("+493012345678", (None, "sales"), {"consent"}),
        ("+43112345678", (None, "sales"), {"consent"}),
        ("+34912345678", ("service", "collection"), set[str]()),
        ("+493012345678", ("service",), set[str]()),
        ("+390612345678", (None, "sales"), set[str]()),
        ("+551123456789", (None, "sales"), set[str]()),
        ("+56221234567", (None, "collection"), set[str]()),
        ("+5111234567", (None, "sales"), set[str]()),
    ],
)
def test_the_shipped_rules_require_what_the_law_of_a_researched_row_demands(
    number: str, purposes: tuple[str | None, ...], required: set[str]
) -> None:
    policy = CallingPolicy.shipped()
    for purpose in purposes:
        met = set[Requirement]()
        while unmet := policy.unmet(callee_of(number), purpose=Purpose(purpose) if purpose else None, met=met):
            met.add(Requirement(unmet.reason.rule))
        assert {str(one) for one in met} == required


def test_the_page_for_users_names_what_the_shipped_rules_require() -> None:
    page = (Path(__file__).parents[4] / "docs/compliance.md").read_text(encoding="utf-8")
    section = page.partition("### What the shipped rules require")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:5]] for line in section.splitlines() if line.startswith("| ")]
    named = {(place, purposes): requires for place, purposes, requires, _ in cells[1:]}
    found: dict[tuple[str, str], set[str]] = {}
    for row in shipped_rows():
        if row.requires:
            place = "-".join(filter(None, (row.country, row.region)))
            found.setdefault((place, " ".join(sorted(row.purposes)) or "all"), set()).update(row.requires)
    assert named == {key: ", ".join(sorted(requires)) for key, requires in found.items()}
    assert all(bool(row.requires) or not row.requires_consent for row in shipped_rows())


RECORDED = "c793daee47db"
"""The version of the shipped rules in logs of builds whose rules required nothing."""


def test_a_decision_by_the_shipped_rules_of_older_builds_is_known_by_its_version(tmp_path: Path) -> None:
    policy = CallingPolicy.shipped()
    former = policy.of_version(RECORDED)
    assert former
    assert policy.of_version(policy.version) is policy
    assert policy.of_version("0" * 12) is None
    for one, is_met in ((policy, False), (former, True)):
        assert (one.unmet(callee_of("+12125550123"), purpose=None, met=()) is None) is is_met
    own = CallingPolicy.shipped(write(tmp_path, f"{REQUIRING},consent", header=f"{HEADER},requires"))
    (version_then,) = {one.version for one in (own._former,) if one}
    then = own.of_version(version_then)
    assert then
    assert then.unmet(callee_of("+12125550123"), purpose=Purpose.SALES, met=()), "the operator's file required it then"
    assert then.unmet(callee_of("+34912345678"), purpose=Purpose.SALES, met=()) is None
