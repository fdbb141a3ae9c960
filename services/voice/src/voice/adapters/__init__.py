"""Adapters of the ports: one module for each vendor, the readers of our events, the store of clips."""
