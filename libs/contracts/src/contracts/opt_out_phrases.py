"""Recognizes that a person wants no more calls, by phrases and without a model (law 9).

The phrases of every language are compared, because a person may answer in another language than that of the call.
Accents, case and punctuation do not count. A phrase of `_AT_END` counts only where a clause ends: "don't call me" is an
opt-out, and "don't call me before ten" is none.
"""

import re
from collections.abc import Mapping

from contracts.plain_words import plain_words

_ANYWHERE: Mapping[str, tuple[str, ...]] = {
    "en": (
        r"stop (calling|phoning|ringing|contacting) (me|us|here|this number)",
        r"(do not|don t|dont|never) (ever )?(call|phone|ring|contact) (me |us |here |this number )?(again|any ?more)",
        r"(take|remove|delete|get) (me|us|my number|this number|our number) (off|from)",
        r"(remove|delete|erase) (my|our|this) number",
        r"no more (phone )?calls",
        r"(opt|opting) (me )?out",
        r"unsubscribe",
        r"do not call list",
        r"(do not|don t|dont) want (any|any more|more|to get|to receive)( \w+)? calls",
        r"(do not|don t|dont) want to be (called|contacted)",
    ),
    "es": (
        r"(deje|dejen|deja|dejad) de (llamar|molestar)(me|nos)?",
        r"no (me |nos )?(vuelva|vuelvan|vuelvas|volvais) a (llamar|molestar|contactar)(me|nos)?",
        r"no (me |nos )?(llame|llamen|llames|moleste|molesten|contacte|contacten) (mas|nunca|nunca mas)",
        r"no (quiero|deseo|queremos) (recibir )?(mas|sus|vuestras|estas) llamadas",
        r"no (quiero|deseo|queremos) recibir llamadas",
        r"no quiero que (me|nos) (llame|llamen|llameis|molesten|contacten)",
        r"(borre|borren|borra|borrad|elimine|eliminen|elimina|quite|quiten|quita) (mi|este) (numero|telefono)",
        r"(quite|quiten|quita|saque|saquen|saca|borre|borren|elimine|eliminen)(me|nos) de (la|su|sus|vuestra|esta)",
        r"(dar|dame|deme|denme|dad|darme|dadme) de baja",
        r"lista robinson",
    ),
}
_AT_END: Mapping[str, tuple[str, ...]] = {
    "en": (r"(do not|don t|dont|never) (call|phone|ring|contact) (me|us|here|this number)( please)?",),
    "es": (r"no (me|nos) (llame|llamen|llames|moleste|molesten|molestes|contacte|contacten)( por favor)?",),
}
_CLAUSE_END = re.compile(r"[.,;:!?¡¿…\n]+")
_PATTERNS = [re.compile(rf"\b(?:{phrase})\b") for phrases in _ANYWHERE.values() for phrase in phrases]
_PATTERNS += [re.compile(rf"\b(?:{phrase})$") for phrases in _AT_END.values() for phrase in phrases]


def is_opt_out(utterance: str) -> bool:
    """Returns whether the person wants no more calls."""
    clauses = (plain_words(clause) for clause in _CLAUSE_END.split(utterance))
    return any(pattern.search(clause) for clause in clauses for pattern in _PATTERNS)
