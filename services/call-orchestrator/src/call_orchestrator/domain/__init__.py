"""The state machine: pure, without clock, ids, input or output (law 2)."""
