"""Generators of the diagrams in the documentation; no service imports them."""
