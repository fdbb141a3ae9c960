"""The conversation itself: what was said, what to tell the model, where sentences end, when the talk is over. Pure."""
