"""The simulated agent's phrases, in English and Spanish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulators.openai.utterance_meaning import Language, Meaning


@dataclass(frozen=True)
class Phrases:
    """The agent's phrases in one language."""

    opening: str
    acknowledgements: Mapping[Meaning, Sequence[str]]
    appointment_questions: Sequence[str]
    survey_questions: Sequence[str]
    repeat_questions: Sequence[str]
    goodbyes: Mapping[Meaning, str]
    listening: str
    one_moment: str
    found: str
    transfer: str
    transfer_failed: str
    ended: str
    survey_words: tuple[str, ...]


PHRASES: Mapping[Language, Phrases] = {
    "en": Phrases(
        opening="Hello, thank you for taking the call.",
        acknowledgements={
            Meaning.YES: ("Great, thank you.", "Perfect, I have noted that."),
            Meaning.NO: ("I understand, no problem.", "All right, thank you for telling me."),
            Meaning.TIME: ("Thank you, I have written that time down.", "Very well, that works for us."),
            Meaning.QUESTION: ("Good question: I am calling on behalf of the office about your file.",),
            Meaning.OTHER: ("I see, thank you.", "Thank you for explaining that."),
        },
        appointment_questions=(
            "Will you be able to come to your appointment?",
            "Would you like us to send you a reminder the day before?",
            "Is there anything you would like us to prepare for your visit?",
            "Would the morning or the afternoon suit you better?",
        ),
        survey_questions=(
            "From one to ten, how satisfied are you with our service?",
            "Would you recommend us to a friend?",
            "What could we do better next time?",
            "Was the person who attended you friendly?",
        ),
        repeat_questions=(
            "Sorry, I did not hear you. Are you still there?",
            "I could not hear that. Could you repeat it?",
        ),
        goodbyes={
            Meaning.REFUSAL: "I understand, and I am sorry for the trouble. We will not call again. Goodbye.",
            Meaning.WRONG_NUMBER: "I am sorry, I have the wrong number. I will correct it. Goodbye.",
            Meaning.SILENCE: "I cannot hear you, so we will try another time. Goodbye.",
            Meaning.OTHER: "That is everything I needed. Thank you for your time, goodbye.",
        },
        listening="Take your time, I am listening.",
        one_moment="One moment, please, let me look that up.",
        found="Thank you for waiting. I have found this:",
        transfer="Of course, I am connecting you with a colleague.",
        transfer_failed="I am sorry, I could not reach my colleague. Can I help you with anything else?",
        ended="Goodbye.",
        survey_words=("survey", "satisf", "rate ", "feedback", "opinion"),
    ),
    "es": Phrases(
        opening="Hola, gracias por atender la llamada.",
        acknowledgements={
            Meaning.YES: ("Estupendo, muchas gracias.", "Perfecto, queda anotado."),
            Meaning.NO: ("Entiendo, no hay problema.", "De acuerdo, gracias por decírmelo."),
            Meaning.TIME: ("Gracias, he apuntado esa hora.", "Muy bien, nos viene bien."),
            Meaning.QUESTION: ("Buena pregunta: le llamo de parte de la oficina por su expediente.",),
            Meaning.OTHER: ("Ya veo, gracias.", "Gracias por explicármelo."),
        },
        appointment_questions=(
            "¿Podrá venir a su cita?",
            "¿Quiere que le enviemos un recordatorio el día anterior?",
            "¿Hay algo que debamos preparar para su visita?",
            "¿Le viene mejor por la mañana o por la tarde?",
        ),
        survey_questions=(
            "Del uno al diez, ¿cómo de satisfecho está con nuestro servicio?",
            "¿Nos recomendaría a un amigo?",
            "¿Qué podríamos hacer mejor la próxima vez?",
            "¿Fue amable la persona que le atendió?",
        ),
        repeat_questions=("Perdone, no le he oído. ¿Sigue ahí?", "No he podido oírle. ¿Puede repetirlo, por favor?"),
        goodbyes={
            Meaning.REFUSAL: "Lo entiendo y lamento la molestia. No volveremos a llamarle. Adiós.",
            Meaning.WRONG_NUMBER: "Disculpe, me he equivocado de número. Lo corregiré. Adiós.",
            Meaning.SILENCE: "No consigo oírle, así que lo intentaremos en otro momento. Adiós.",
            Meaning.OTHER: "Eso es todo lo que necesitaba. Gracias por su tiempo, adiós.",
        },
        listening="Tómese su tiempo, le escucho.",
        one_moment="Un momento, por favor, que lo miro.",
        found="Gracias por esperar. He encontrado esto:",
        transfer="Por supuesto, le paso con un compañero.",
        transfer_failed="Lo siento, no he podido localizar a mi compañero. ¿Puedo ayudarle en algo más?",
        ended="Adiós.",
        survey_words=("encuesta", "satisf", "valor", "opini"),
    ),
}
