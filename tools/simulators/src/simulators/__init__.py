"""Simulators of Twilio, ElevenLabs and OpenAI on their wire protocols. They do not depend on the system under test."""
