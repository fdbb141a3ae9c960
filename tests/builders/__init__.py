"""Builders of contract objects for tests: valid defaults, changed by keyword."""
