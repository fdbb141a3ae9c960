"""The conversation of one attempt, what the model is sent, and how a conversation ends. Pure."""
