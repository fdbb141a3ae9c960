"""*Campaign*: how far is it, how does it come out, how long does everything take?"""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, quantile, rate

_ENDED = 'status=~"completed|voicemail|no_answer|busy|failed|canceled|expired"'

CAMPAIGN = Dashboard(
    uid="centralita-campaign",
    title="Campaign",
    means="One campaign, as MongoDB has it, then all of them. The twenty with most open calls can be chosen; * is all.",
    choices={"campaign": "label_values(centralita_campaign_calls, campaign)"},
    rows={
        "$campaign": (
            Panel(
                "Calls by status",
                "As they stand now; in progress includes dialing and ringing",
                {"{{status}}": 'max by (status) (centralita_campaign_calls{campaign="$campaign"})'},
                kind=Kind.STACKED,
            ),
            Panel(
                "Ended",
                "Share of the campaign's calls that have reached their final status",
                {
                    "ended": f'sum(max by (status) (centralita_campaign_calls{{campaign="$campaign", {_ENDED}}}))'
                    ' / sum(max by (status) (centralita_campaign_calls{campaign="$campaign"}))'
                },
                unit=Unit.RATIO,
                kind=Kind.NUMBER,
            ),
            Panel(
                "Completed, of the ended",
                "Share of the ended calls in which somebody was talked to",
                {
                    "completed": 'max(centralita_campaign_calls{campaign="$campaign", status="completed"})'
                    f' / sum(max by (status) (centralita_campaign_calls{{campaign="$campaign", {_ENDED}}}))'
                },
                unit=Unit.RATIO,
                kind=Kind.NUMBER,
            ),
        ),
        "All campaigns": (
            Panel(
                "Calls entering each status, by mode",
                "A second; mode is how the conversation is held",
                {"{{status}}, {{mode}}": rate("centralita_calls_total", "status", "mode")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Failure ratio",
                "Calls that failed, of all that ended",
                {
                    "failed": '(sum(rate(centralita_calls_total{status="failed"}[$__rate_interval])) or vector(0))'
                    f" / sum(rate(centralita_calls_total{{{_ENDED}}}[$__rate_interval]))"
                },
                unit=Unit.RATIO,
                alarm=0.2,
            ),
            Panel(
                "How conversations end",
                "By disposition, a second",
                {"{{disposition}}": rate("centralita_conversations_ended_total", "disposition")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
        ),
        "Time": (
            Panel(
                "Time in each state, median",
                "How long a call stays before it goes on",
                {"{{status}}": quantile(0.5, "centralita_call_state_seconds", "status")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "Time in each state, slowest twentieth",
                "How long a call stays before it goes on",
                {"{{status}}": quantile(0.95, "centralita_call_state_seconds", "status")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "Wait for a slot",
                "From a call's time to its slot",
                {
                    "50%": quantile(0.5, "centralita_slot_wait_seconds"),
                    "95%": quantile(0.95, "centralita_slot_wait_seconds"),
                },
                unit=Unit.SECONDS,
            ),
        ),
    },
)
