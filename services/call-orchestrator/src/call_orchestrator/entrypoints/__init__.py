"""Decode, one call."""
