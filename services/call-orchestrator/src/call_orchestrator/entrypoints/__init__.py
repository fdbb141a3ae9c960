"""Subscribers: each decodes a message and makes one call."""
