"""Decode, then one call of the application."""
