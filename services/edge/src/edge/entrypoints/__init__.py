"""HTTP and NATS requests: decode, one call of the application, encode."""
