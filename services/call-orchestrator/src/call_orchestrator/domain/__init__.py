"""The rules: pure, without clock, ids or I/O (law 2)."""
