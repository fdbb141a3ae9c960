"""The dashboard *Campaign*: progress, results and durations."""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, quantile, rate

_ENDED = 'status=~"completed|voicemail|no_answer|busy|failed|canceled|expired"'

CAMPAIGN = Dashboard(
    uid="centralita-campaign",
    title="Campaign",
    description="One campaign, then all. Selectable are the 20 campaigns with most open calls, and * for all.",
    variables={"campaign": "label_values(centralita_campaign_calls, campaign)"},
    rows={
        "$campaign": (
            Panel(
                "Calls by status",
                "Now; in progress includes dialing and ringing",
                {"{{status}}": 'max by (status) (centralita_campaign_calls{campaign="$campaign"})'},
                kind=Kind.STACKED,
            ),
            Panel(
                "Ended",
                "Share of the campaign's calls that have a final status",
                {
                    "ended": f'sum(max by (status) (centralita_campaign_calls{{campaign="$campaign", {_ENDED}}}))'
                    ' / sum(max by (status) (centralita_campaign_calls{campaign="$campaign"}))'
                },
                unit=Unit.RATIO,
                kind=Kind.NUMBER,
            ),
            Panel(
                "Completed",
                "Share of the ended calls in which a person was reached",
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
                "A second; the mode is turn_based, live or relay",
                {"{{status}}, {{mode}}": rate("centralita_calls_total", "status", "mode")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Failure ratio",
                "Failed calls as a share of ended calls",
                {
                    "failed": '(sum(rate(centralita_calls_total{status="failed"}[$__rate_interval])) or vector(0))'
                    f" / sum(rate(centralita_calls_total{{{_ENDED}}}[$__rate_interval]))"
                },
                unit=Unit.RATIO,
                alarm=0.2,
            ),
            Panel(
                "Waiting contacts",
                "Contacts of campaigns that wait for their calls",
                {"waiting": "max(centralita_waiting_contacts)"},
            ),
            Panel(
                "Contacts by outcome",
                "Taken as calls, refused, or expired with their campaign, a second",
                {"{{outcome}}": rate("centralita_contacts_total", "outcome")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Conversations by disposition",
                "Ended conversations a second",
                {"{{disposition}}": rate("centralita_conversations_ended_total", "disposition")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
        ),
        "Durations": (
            Panel(
                "Time in each state, median",
                "How long a call stays in each state",
                {"{{status}}": quantile(0.5, "centralita_call_state_seconds", "status")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "Time in each state, 95th percentile",
                "How long a call stays in each state",
                {"{{status}}": quantile(0.95, "centralita_call_state_seconds", "status")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "Wait for a slot",
                "From the time at which a call is due to its slot",
                {
                    "50%": quantile(0.5, "centralita_slot_wait_seconds"),
                    "95%": quantile(0.95, "centralita_slot_wait_seconds"),
                },
                unit=Unit.SECONDS,
            ),
        ),
    },
)
