"""``make bench-calls``: whole calls through the whole system, measured from outside by processes, subjects and REST."""
