"""Pure rules: the rate limit, the order of sentences, playback, MP3 frames, clips."""
