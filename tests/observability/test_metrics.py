"""Dashboards and alerts, on a real Prometheus that has watched a campaign."""

import shutil
import subprocess

import pytest
from tests.observability.conftest import Observed

from centralita.monitoring import names
from centralita.monitoring.__main__ import findings, main
from centralita.monitoring.prometheus import INSTALLED, MISSING, ROOT, stored_queries

with_prometheus = pytest.mark.skipif(not INSTALLED, reason=MISSING)
with_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason=MISSING)
with_amtool = pytest.mark.skipif(shutil.which("amtool") is None, reason="Alertmanager is not installed here")


def _run(*command: str) -> None:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@with_prometheus
def test_every_query_of_every_panel_has_series(observed: Observed) -> None:
    assert observed.series.keys() == stored_queries().keys()
    assert [name for name, found in observed.series.items() if not found] == []


@with_prometheus
def test_every_rule_is_evaluated_without_an_error_and_a_healthy_campaign_alerts_nobody(observed: Observed) -> None:
    assert {rule["health"] for rule in observed.rules} == {"ok"}
    assert [rule["name"] for rule in observed.rules if rule["state"] == "firing"] == []


@with_promtool
def test_the_rules_say_what_they_should_of_made_up_histories() -> None:
    _run("promtool", "test", "rules", "deploy/prometheus/tests/centralita_test.yml")


@with_promtool
def test_prometheus_takes_its_configuration() -> None:
    _run("promtool", "check", "config", "deploy/prometheus/prometheus.yml")


@with_amtool
def test_alertmanager_takes_its_configuration() -> None:
    _run("amtool", "check-config", "deploy/alertmanager/alertmanager.yml")


def test_the_stored_dashboards_are_the_codes_and_name_only_metrics_that_exist() -> None:
    assert list(findings()) == []


def test_every_alert_is_tried_with_a_made_up_history() -> None:
    tests = (ROOT / "deploy/prometheus/tests/centralita_test.yml").read_text()
    alerts = [alert for path in (ROOT / "deploy/prometheus/rules").glob("*.yml") for alert, _ in names.in_rules(path)]
    assert alerts
    for alert in alerts:
        assert f"alertname: {alert}\n" in tests, f"no history makes {alert} fire"


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ('sum by (le) (rate(a_bucket{b="c"}[5m])) / on (d) group_left (e) f > 3', {"a_bucket", "f"}),
        ("histogram_quantile(0.5, sum by (le, g) (rate(h_bucket[$__rate_interval])))", {"h_bucket"}),
        ('max(a) < inf or vector(0) unless up{job="b"} == 0', {"a"}),
        ("sum(increase(a_total[10m] offset 1h)) == bool 0 and time() - b > 1e3", {"a_total", "b"}),
    ],
)
def test_the_metrics_that_an_expression_names_are_found(expression: str, asked: set[str]) -> None:
    assert names.in_expression(expression) == asked


def test_a_metric_that_nobody_has_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = names.of_the_code()
    monkeypatch.setattr(names, "of_the_code", lambda: known - {"centralita_dead_letters_total"})
    assert main(["check"]) == 1
    told = capsys.readouterr().err
    assert "centralita.yml, DeadLettersGrow: no service has a metric centralita_dead_letters_total" in told
    assert "Operations, Given up on: no service has a metric centralita_dead_letters_total" in told
