"""Dashboards and alerts, evaluated by a real Prometheus during a campaign."""

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
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@with_prometheus
def test_every_query_of_every_panel_has_series(observed: Observed) -> None:
    assert observed.series.keys() == stored_queries().keys()
    assert [name for name, found in observed.series.items() if not found] == []


@with_prometheus
def test_every_rule_is_evaluated_and_a_healthy_campaign_raises_no_alert(observed: Observed) -> None:
    assert {rule["health"] for rule in observed.rules} == {"ok"}
    assert [rule["name"] for rule in observed.rules if rule["state"] == "firing"] == []


@with_promtool
def test_the_rules_give_the_expected_alerts_for_constructed_histories() -> None:
    _run("promtool", "test", "rules", "deploy/prometheus/tests/centralita_test.yml")


@with_promtool
def test_prometheus_accepts_its_configuration() -> None:
    _run("promtool", "check", "config", "deploy/prometheus/prometheus.yml")


@with_amtool
def test_alertmanager_accepts_its_configuration() -> None:
    _run("amtool", "check-config", "deploy/alertmanager/alertmanager.yml")


def test_the_stored_dashboards_equal_the_code_and_name_only_existing_metrics() -> None:
    assert list(findings()) == []


def test_every_alert_has_a_test_with_a_constructed_history() -> None:
    tests = (ROOT / "deploy/prometheus/tests/centralita_test.yml").read_text()
    alerts = [
        alert for path in (ROOT / "deploy/prometheus/rules").glob("*.yml") for alert, _ in names.alert_expressions(path)
    ]
    assert alerts
    for alert in alerts:
        assert f"alertname: {alert}\n" in tests, f"no history makes {alert} fire"


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('sum by (le) (rate(a_bucket{b="c"}[5m])) / on (d) group_left (e) f > 3', {"a_bucket", "f"}),
        ("histogram_quantile(0.5, sum by (le, g) (rate(h_bucket[$__rate_interval])))", {"h_bucket"}),
        ('max(a) < inf or vector(0) unless up{job="b"} == 0', {"a"}),
        ("sum(increase(a_total[10m] offset 1h)) == bool 0 and time() - b > 1e3", {"a_total", "b"}),
    ],
)
def test_the_metrics_that_an_expression_names_are_found(expression: str, metrics: set[str]) -> None:
    assert names.metrics_in(expression) == metrics


def test_an_unknown_metric_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = names.known_metrics()
    monkeypatch.setattr(names, "known_metrics", lambda: known - {"centralita_dead_letters_total"})
    assert main(["check"]) == 1
    errors = capsys.readouterr().err
    assert "centralita.yml, DeadLettersGrow: no service has a metric centralita_dead_letters_total" in errors
    assert "Operations, New dead letters: no service has a metric centralita_dead_letters_total" in errors
