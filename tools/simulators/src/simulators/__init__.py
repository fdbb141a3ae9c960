"""Simulators of Twilio, ElevenLabs and OpenAI on their wire protocols. They know nothing of the system under test."""
