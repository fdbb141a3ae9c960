"""When a turn is over and what interrupts: the numbers, and the word lists per language (docs/live.md)."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """The numbers of the turn policy; durations in seconds, levels in decibels above the noise floor of the line."""

    commit_after_seconds: float = 0.22
    """Silence until the transcript of what was said is requested. It ends no turn."""
    turn_over_after_seconds: float = 0.5
    """Silence until a complete utterance ends the turn."""
    min_turn_over_seconds: float = 0.35
    max_turn_over_seconds: float = 1.4
    unfinished_seconds: float = 0.4
    """Added if the text ends in a comma, a conjunction or an article, or is one word that is no whole answer."""
    details_seconds: float = 0.9
    """Added if the callee spells or says digits, or was asked for a number, an address or a date."""
    complete_seconds: float = 0.12
    """Subtracted if the text is a question or a whole short answer."""
    transcript_seconds: float = 1.5
    """How long a transcript is awaited after it was requested."""
    max_unanswered: int = 3
    """So many requests in a row without an answer: the transcriber is down."""
    recommit_seconds: float = 25.0
    """How often a transcript is requested in silence; the vendor advises 20–30 s, and requests by itself after 90 s."""
    pause_decibels: float = 9.0
    """A voice must be that loud to pause our speech."""
    echo_decibels: float = 15.0
    """The same during the first `echo_seconds` of our speech: an echo canceller is still learning."""
    echo_seconds: float = 0.3
    max_false_pauses: int = 3
    """After so many pauses without words in a call, both levels rise by `raise_decibels`."""
    raise_decibels: float = 6.0
    interrupt_voiced_seconds: float = 0.7
    """So much voice interrupts, also without a word."""
    resume_seconds: float = 0.9
    """Silence after a sound that was no interruption, until our speech goes on."""
    silence_seconds: float = 6.0
    """Silence after our speech until the callee's turn is over without a word."""
    details_silence_seconds: float = 8.0
    """The same after a question for a number, an address or a date."""
    filler_seconds: float = 1.8
    """How long a reply may take until a filler is played."""
    next_filler_seconds: float = 6.0
    """The time from one filler to the next."""
    unanswered_seconds: float = 12.0
    """How long the callee waits for a reply, until the call ends. Conversation's deadline is shorter."""
    is_greeting_interruptible: bool = True
    backchannels: frozenset[str] = frozenset()
    """Expressions that signal attention in any language, beside those of the lists; in lower case."""


@dataclass(frozen=True, slots=True)
class _Words:
    """The word lists of one language, in lower case. An expression of several words is one entry."""

    answers: frozenset[str]
    """Words of which a whole short answer consists."""
    backchannels: frozenset[str]
    """Expressions that signal attention."""
    continuing: frozenset[str]
    """Conjunctions, articles and prepositions: a text that ends in one goes on."""
    numbers: frozenset[str]
    details: re.Pattern[str]
    """What asks for a number, an address or a date."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.replace("_", " ").split(",")) if "," in words else frozenset(words.split())


_SPANISH = _Words(
    answers=_set("sí si no vale claro correcto exacto perfecto bueno bien gracias adiós hola diga dígame nunca "
                 "ok okay ajá eso mañana hoy ninguno ninguna nada listo órale sale ándale"),
    backchannels=_set("ajá,aja,mm,mmm,mhm,mm-hm,mm hm,m-hm,uh-huh,uhum,ujum,ah,eh,sí,si,sí sí,si si,claro,claro claro,"
                      "ok,okay,vale,vale vale,ya,bien,bueno,muy bien,sí claro,claro que sí,ah vale,ah ok,entiendo"),
    continuing=_set("y e o u ni que pero porque aunque sino si como cuando donde mientras pues entonces el la los las "
                    "un una unos unas de del a al en con por para sin sobre mi mis tu tus su sus es este esta ese esa "
                    "eh em mmm este muy más lo le se me"),
    numbers=_set("cero uno un una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
                 "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro "
                 "veinticinco veintiséis veintisiete veintiocho veintinueve treinta cuarenta cincuenta sesenta "
                 "setenta ochenta noventa cien ciento doscientos trescientos cuatrocientos quinientos seiscientos "
                 "setecientos ochocientos novecientos mil doble triple arroba punto guion guión barra"),
    details=re.compile(
        r"\b(número|teléfono|móvil|celular|dni|nif|cédula|documento|código|póliza|expediente|referencia|matrícula|"
        r"correo|e-?mail|dirección|calle|postal|fecha|día|hora|nacimiento|deletre\w*|dígitos?|cifras?|"
        r"cuánt[oa]s?|apellidos?)\b"
    ),
)  # fmt: skip
_ENGLISH = _Words(
    answers=_set("yes no yeah yep yup nope sure okay ok right correct exactly fine good thanks hello hi bye goodbye "
                 "never tomorrow today none nothing absolutely definitely maybe"),
    backchannels=_set("mm,mmm,mhm,mm-hm,mm hm,mm-hmm,mm hmm,uh-huh,uh huh,aha,ah,oh,yes,yeah,yeah yeah,yes yes,yep,ok,"
                      "okay,ok ok,right,right right,sure,i see,got it,fine,good,very good,alright,all right"),
    continuing=_set("and or but nor so because although if as when where while then that which the a an of to at in on "
                    "with by for from without about my your his her our their is are was this these those um uh er "
                    "very more i we you it"),
    numbers=_set("zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
                 "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred "
                 "thousand double triple at dot dash hyphen slash underscore"),
    details=re.compile(
        r"\b(number|phone|mobile|cell|code|id|passport|policy|reference|e-?mail|address|street|zip|postcode|date|day|"
        r"time|birth|birthday|spell\w*|digits?|how (?:many|much)|surname|last name)\b"
    ),
)  # fmt: skip
_OTHER = _Words(
    answers=_set("ok okay"),
    backchannels=_set("mm,mmm,mhm,mm-hm,mm hm,uh-huh,aha,ah,ok,okay"),
    continuing=frozenset(),
    numbers=frozenset(),
    details=re.compile(r"(?!)"),
)
_LANGUAGES = {"es": _SPANISH, "en": _ENGLISH}

_MAX_ANSWER_WORDS = 3
_DETAIL_WORDS = 4
"""How many words are spoken in about 2 seconds."""
WORD = re.compile(r"[^\W_]+(?:['’.@_-][^\W_]+)*")
_ABBREVIATED_LETTERS = frozenset("yaeoui")
"""Letters that are words in Spanish or English."""


def turn_over_seconds(text: str, language: str, policy: TurnPolicy, *, is_asked_for_details: bool = False) -> float:
    """Returns the silence after which a turn with this text is over.

    The longest addition counts, not their sum. `is_asked_for_details`: we asked for a number, an address or a date.
    """
    seconds = policy.turn_over_after_seconds
    if is_asked_for_details or ends_in_details(text, language):
        seconds += policy.details_seconds
    elif is_unfinished(text, language):
        seconds += policy.unfinished_seconds
    elif is_question(text) or is_whole_answer(text, language):
        seconds -= policy.complete_seconds
    return min(max(seconds, policy.min_turn_over_seconds), policy.max_turn_over_seconds)


def words_of(text: str) -> list[str]:
    """Returns the words of a text, in lower case and without punctuation."""
    return WORD.findall(text.lower())


def is_whole_answer(text: str, language: str) -> bool:
    """Returns whether a text of at most three words is a whole answer, for example “sí, claro”."""
    words = words_of(text)
    answers = _words(language).answers
    return 0 < len(words) <= _MAX_ANSWER_WORDS and all(word in answers for word in words) and not _is_cut_off(text)


def is_backchannel(text: str, language: str, others: frozenset[str] = frozenset()) -> bool:
    """Returns whether a text only signals attention, for example “ajá” or “mm-hm”. An empty text does not.

    `others`: `TurnPolicy.backchannels`.
    """
    words = " ".join(words_of(text))
    return words in _words(language).backchannels or words in others


def is_unfinished(text: str, language: str) -> bool:
    """Returns whether a text ends in a comma, a conjunction or an article, or is one word that is no whole answer."""
    words = words_of(text)
    if not words:
        return False
    if _is_cut_off(text):
        return True
    if is_whole_answer(text, language) or is_question(text):
        return False
    return len(words) == 1 or words[-1] in _words(language).continuing


def is_question(text: str) -> bool:
    """Returns whether a text ends in a question mark."""
    return text.rstrip().rstrip("\"'”»’)").endswith("?")


def ends_in_details(text: str, language: str) -> bool:
    """Returns whether one of the last words is a digit, a number or a letter of its own: about 2 seconds of speech.

    “Uno”, “one” and the like count with a second one only: they are articles and pronouns too.
    """
    numbers = _words(language).numbers
    last = words_of(text)[-_DETAIL_WORDS:]
    if any(any(character.isdigit() for character in word) or "@" in word for word in last):
        return True
    letters = [word for word in last if len(word) == 1 and word not in _ABBREVIATED_LETTERS]
    return bool(letters) or sum(word in numbers for word in last) > 1


def asks_for_details(text: str, language: str) -> bool:
    """Returns whether a sentence of ours asks for a number, an address or a date."""
    return is_question(text) and _words(language).details.search(text.lower()) is not None


def _is_cut_off(text: str) -> bool:
    return text.rstrip().endswith((",", "…", "...", "-", "–", "—", ":", ";"))


def _words(language: str) -> _Words:
    return _LANGUAGES.get(language.partition("-")[0].lower(), _OTHER)
