"""Replay of recorded logs: export, import, verify, rebuild."""
