"""Implements the ports on NATS JetStream."""
