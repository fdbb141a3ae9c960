"""What voice does with sentences: synthesize them, prepare greetings, and play turns."""
