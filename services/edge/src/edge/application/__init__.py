"""Use cases of the edge: commands and queries over REST, administrative acts, the dialogue on a line."""
