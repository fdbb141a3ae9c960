"""Twilio's nouns of a stream, and the attributes of ConversationRelay (Twilio, "TwiML Voice: ConversationRelay")."""

from twilio.twiml.voice_response import Connect, ConversationRelay, Stream  # type: ignore[import-untyped]

from telephony.instructions import OpenStream

VOICES_OF = "ElevenLabs"
"""The provider of the voices that campaigns name; their ids are the same at Twilio."""


def add_stream(connect: Connect, url: str, stream: OpenStream, language: str) -> Stream | ConversationRelay:
    """Adds the stream to ``<Connect>``, and returns its noun. `language` has a region.

    Of ConversationRelay: words and keys interrupt, signals of attention do not. What the callee says during a text that
    nothing interrupts is reported, too. `events`: what the callee hears of our texts, and who speaks.
    """
    if not stream.is_relay:
        return connect.stream(url=url)
    voice = {"tts_provider": VOICES_OF, "voice": stream.voice} if stream.voice else {}
    return connect.conversation_relay(
        url=url,
        language=language,
        interruptible="any",
        report_input_during_agent_speech="any",
        ignore_backchannel="true",
        dtmf_detection="true",
        events="speaker-events tokens-played",
        **voice,
    )
