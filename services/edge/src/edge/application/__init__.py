"""What the edge does: it translates between people's and the provider's HTTP and the facts on the bus."""
