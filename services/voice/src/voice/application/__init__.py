"""The use cases of this service: `telephony` and `speech`."""
