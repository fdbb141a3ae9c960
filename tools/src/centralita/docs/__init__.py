"""Generators of the documentation: diagrams, the page of the state machine, and the site; no service imports them."""
