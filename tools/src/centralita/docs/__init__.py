"""Generators of the diagrams in the documentation."""
