"""Live conversations: the vendors' protocols, and the rules of playing, listening and taking turns, without I/O."""
