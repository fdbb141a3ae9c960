"""The dashboard *Conversation quality*: latency of turns, usage of the model, fallbacks."""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, latency_quantiles, rate

CONVERSATION = Dashboard(
    uid="centralita-conversation",
    title="Conversation quality",
    description="How long a callee waits for a reply, part by part, and which fallbacks were used.",
    rows={
        "Latency of a turn, by part": (
            Panel(
                "Utterance → first token",
                "From the start of the turn's processing to the first token of the model",
                latency_quantiles("centralita_turn_first_token_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Utterance → first sentence",
                "From the start of the turn's processing to the first audio request",
                latency_quantiles("centralita_turn_first_sentence_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Audio request → first byte",
                "From the request for synthesis to its first byte",
                latency_quantiles("centralita_speech_first_byte_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Utterance → first audio sent",
                "The silence that the callee hears: from the provider's media request to the first byte sent",
                latency_quantiles("centralita_turn_first_audio_seconds"),
                unit=Unit.SECONDS,
                alarm=3,
            ),
        ),
        "Turns": (
            Panel(
                "Duration of turns",
                "From the start of the turn's processing to its last word",
                latency_quantiles("centralita_turn_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Turns a second",
                "Turns that got a reply",
                {"turns": rate("centralita_turn_seconds_count")},
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Tokens",
                "A second, as counted by the model's provider",
                {"{{kind}}": rate("centralita_model_tokens_total", "kind")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "Fallbacks": (
            Panel(
                "Fallbacks by source",
                "Uses of each second choice, a second",
                {"{{step}}": rate("centralita_fallbacks_total", "step")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Failed requests to a model",
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
