"""The streams behind the ports."""
