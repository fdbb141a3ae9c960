"""What the service hears."""
