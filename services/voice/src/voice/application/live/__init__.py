"""Live conversations: both may speak at any time, and the audio of both is a stream (docs/live.md)."""
