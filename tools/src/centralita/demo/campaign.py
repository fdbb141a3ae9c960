"""The demo's campaign: reminders of an appointment, to phone numbers that are reserved for fiction."""

from nats.aio.client import Client

from contracts import CallRequested, ConversationMode

CAMPAIGN_ID = "appointment-reminders"

_ENGLISH = """Hello {{name}}, this is the clinic's assistant calling about your appointment on {{day}}.

You remind {{name}} of the appointment on {{day}}. Ask whether they can come. If they can, note "attending: yes" and end
the call as confirmed. If they cannot, offer another day, note it as "new_day" and end the call as rescheduled."""

_SPANISH = """Hola {{name}}, le llama el asistente de la clínica por su cita del {{day}}.

Recuerda a {{name}} su cita del {{day}}. Pregunta si puede venir. Si puede, anota "attending: yes" y termina la llamada
como confirmed. Si no puede, ofrece otro día, anótalo como "new_day" y termina la llamada como rescheduled."""

_NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Leslie", "Radia", "Ken", "Margaret")
_DAYS = {"en": ("Monday", "Tuesday", "Thursday"), "es": ("lunes", "martes", "jueves")}


def requests(run: str, count: int = 25, mode: ConversationMode = ConversationMode.TURN_BASED) -> list[CallRequested]:
    """Returns `count` requests (at most 100), every third in Spanish. Their request ids begin with `run`."""
    return [_request(run, number, mode) for number in range(count)]


def _request(run: str, number: int, mode: ConversationMode) -> CallRequested:
    language = "es" if number % 3 == 2 else "en"
    return CallRequested(
        request_id=f"{run}-{number:02d}",
        campaign_id=CAMPAIGN_ID,
        contact_id=f"contact-{number:02d}",
        phone_number=f"+12125550{100 + number}",
        script_template=_SPANISH if language == "es" else _ENGLISH,
        variables={"name": _NAMES[number % len(_NAMES)], "day": _DAYS[language][number % 3]},
        language=language,
        mode=None if mode is ConversationMode.TURN_BASED else mode,
        max_retries=2,
        retry_delay_seconds=1,
        call_timeout_seconds=20,
    )


async def publish(client: Client, wanted: list[CallRequested]) -> None:
    """Publishes the requests as any upstream system does: JSON on a subject, acknowledged by the stream."""
    js = client.jetstream()
    for request in wanted:
        await js.publish(CallRequested.event_name, request.body())
