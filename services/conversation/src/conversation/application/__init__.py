"""One turn of a conversation: read the log, answer, append."""
