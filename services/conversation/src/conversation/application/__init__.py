"""One turn of a conversation: load the call, generate the reply, append its events."""
