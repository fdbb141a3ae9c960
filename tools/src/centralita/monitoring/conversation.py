"""The dashboard *Conversation quality*: latency of turns, usage of the model, fallbacks."""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, latency_quantiles, quantile, rate

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
        "Tools": (
            Panel(
                "Tool calls",
                "Executed tool calls of the model, by tool and outcome, a second; `http` is all tools of campaigns",
                {"{{tool}} {{status}}": rate("centralita_tool_calls_total", "tool", "status")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Duration of tool calls",
                "The 95th percentile, from the claim to the result: the callee waits meanwhile",
                {"{{tool}}": quantile(0.95, "centralita_tool_seconds", "tool")},
                unit=Unit.SECONDS,
            ),
        ),
        "Live": (
            Panel(
                "Streams open",
                "Media streams by replica and mode",
                {"{{instance}} {{mode}}": 'centralita_live_streams{service="voice"}'},
            ),
            Panel(
                "Streams closed",
                "By mode and reason, a second; `drained` is a deployment",
                {"{{mode}} {{reason}}": rate("centralita_live_closed_total", "mode", "reason")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Loop lag",
                "How late the event loop of voice is: above 20 ms, the callee may hear gaps",
                latency_quantiles("centralita_live_loop_lag_seconds"),
                unit=Unit.SECONDS,
                alarm=0.2,
            ),
        ),
        "Live turns": (
            Panel(
                "Last sound of the callee → first sound of the reply",
                "The 95th percentile of each part",
                {"{{stage}}": quantile(0.95, "centralita_live_stage_seconds", "stage")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "Interruptions and pauses",
                "Replies that were interrupted by reason, and those that a sound of the callee paused, a second",
                {
                    "{{reason}}": rate("centralita_live_interruptions_total", "reason"),
                    "paused": rate("centralita_live_pauses_total"),
                    "resumed": rate("centralita_live_resumes_total"),
                },
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Degradations",
                "Live conversations that went on in turns, by reason, a second",
                {"{{reason}}": rate("centralita_degraded_conversations_total", "reason")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
        ),
        "Transfers": (
            Panel(
                "Transfers",
                "Callees whom the agent transferred to a person, by kind and how it ended, a second",
                {"{{kind}} {{status}}": rate("centralita_transfers_total", "kind", "status")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Legs to persons",
                "How long they lasted, from the answer: the median of each kind",
                {"{{kind}}": quantile(0.5, "centralita_transfer_seconds", "kind")},
                unit=Unit.SECONDS,
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
