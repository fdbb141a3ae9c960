"""Speaks to the telephone network (Twilio) and with a voice (ElevenLabs)."""
