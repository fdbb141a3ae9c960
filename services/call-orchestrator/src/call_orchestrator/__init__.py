"""Owns the state machine of every call: it alone decides what becomes of one."""
