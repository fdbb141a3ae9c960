"""Whether everything is there that a call needs, and what to do where it is not."""
