"""The NATS subscriber."""
