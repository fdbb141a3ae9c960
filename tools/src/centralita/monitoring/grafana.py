"""Dashboards as Grafana's JSON, built with Grafana's own SDK."""

import json
from itertools import count

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard as DashboardBuilder
from grafana_foundation_sdk.builders.dashboard import QueryVariable, Row, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode, VariableRefresh

from centralita.monitoring.panels import Dashboard, Kind, Panel

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
"""The data source of deploy/grafana/provisioning/datasources."""
_HEIGHT = 8
_WIDTH = 24

_Builder = timeseries.Panel | stat.Panel


def render(dashboard: Dashboard) -> str:
    """Returns the dashboard's JSON; deterministic."""
    builder = (
        DashboardBuilder(dashboard.title).uid(dashboard.uid).description(dashboard.description).tags(["centralita"])
    )
    builder = builder.readonly().refresh("10s").time("now-1h", "now").timezone("browser")
    for name, query in (dashboard.variables or {}).items():
        builder = builder.with_variable(_variable(name, query))
    ids = count(1)
    for title, panels in dashboard.rows.items():
        builder = builder.with_row(Row(title).id(next(ids)))
        for panel in panels:
            builder = builder.with_panel(_panel(panel).id(next(ids)).span(_WIDTH // len(panels)))
    return json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(builder.build())), indent=1, sort_keys=True) + "\n"


def _variable(name: str, query: str) -> QueryVariable:
    variable = QueryVariable(name).label(name).query(query).datasource(SOURCE)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def _panel(panel: Panel) -> _Builder:
    builder: _Builder = stat.Panel() if panel.kind is Kind.NUMBER else _lines(panel)
    builder = builder.title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit).min(0)
    builder = builder.height(_HEIGHT).thresholds(_thresholds(panel.alarm))
    for number, (legend, expression) in enumerate(panel.queries.items()):
        query = Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        builder = builder.with_target(query.instant() if panel.kind is Kind.NUMBER else query.range())
    return builder


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    builder = timeseries.Panel().legend(legend.show_legend(True)).fill_opacity(10)
    if panel.kind is Kind.STACKED:
        builder = builder.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(60)
    return builder


def _thresholds(alarm: float | None) -> ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if alarm is not None:
        steps.append(Threshold(value=alarm, color="red"))
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
