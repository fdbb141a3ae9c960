"""What the ports are in fact: NATS, voice over HTTP, Twilio. One vendor, one module."""
