"""NATS behind the ports."""
