"""Pure rules: what a failed dial means, what identifies a clip, what an MP3 frame is, what is spoken when."""
