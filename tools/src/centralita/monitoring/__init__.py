"""Grafana's dashboards, as data, and the check that they and the alerts name only metrics that exist."""
