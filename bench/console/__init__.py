"""``python -m bench.console``: what the console and the edge use while browsers watch, and for the page of a call."""
