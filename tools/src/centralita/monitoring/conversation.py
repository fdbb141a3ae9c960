"""*Conversation quality*: how long is a callee left in silence, and what do they hear then?"""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, rate, split_of_time

CONVERSATION = Dashboard(
    uid="centralita-conversation",
    title="Conversation quality",
    means="How long is a callee left in silence, and what do they hear then?",
    rows={
        "Latency of a turn, in its parts": (
            Panel(
                "Heard → first token",
                "From the start of a turn's handling to the model's first word",
                split_of_time("centralita_turn_first_token_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Heard → first sentence",
                "Until voice is asked to speak",
                split_of_time("centralita_turn_first_sentence_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Sentence → first audio byte",
                "From asking for a synthesis to its first sound",
                split_of_time("centralita_speech_first_byte_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Heard → first audio sent",
                "The silence that a callee hears: from the line asking for the reply to the first sound sent",
                split_of_time("centralita_turn_first_audio_seconds"),
                unit=Unit.SECONDS,
                alarm=3,
            ),
        ),
        "What is said": (
            Panel(
                "Whole turns",
                "From the start of a turn's handling to its last word",
                split_of_time("centralita_turn_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Turns",
                "Turns that were answered, a second",
                {"turns": rate("centralita_turn_seconds_count")},
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Tokens",
                "As the model counts them, a second",
                {"{{kind}}": rate("centralita_model_tokens_total", "kind")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "What it fell back to": (
            Panel(
                "Fallbacks by step",
                "What stood in for the first choice, a second",
                {"{{step}}": rate("centralita_fallbacks_total", "step")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Failed tries of a model",
                "By reason, a second",
                {"{{reason}}": rate("centralita_model_failures_total", "reason")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Sentences by outcome",
                "A second",
                {"{{outcome}}": rate("centralita_sentences_total", "outcome")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
        ),
    },
)
