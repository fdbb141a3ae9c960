"""OpenAI, and the answer cache in NATS."""
