"""Packs the personal fields of an event before they are sealed. They are short, and sealed bytes do not compress.

The packed form is a version and a raw DEFLATE stream (RFC 1951) with a preset dictionary. The dictionary has frequent
words of the supplied languages and the names of the fields, so a sentence of a few words becomes shorter, too. It is
part of the stored form and never changes: another dictionary gets another version.
"""

import zlib

DICTIONARY = (
    " Monday Tuesday Wednesday Thursday Friday morning afternoon tomorrow lunes martes miércoles jueves viernes mañana"
    " tarde llamada llamo llamando número nombre gracias favor usted puede puedo quiere tiene está estoy ahora hasta"
    " luego adiós para pero porque cuando qué que con por los las una un del se su le me no sí es en la el de y a."
    " Hola, {{}}, soy Buenos días Buenas tardes. number name call calling goodbye speaking speak please thanks thank"
    " you would could should about there their they them then when what with your from have will can that this is"
    " it not on in for and are to of the. Hello {{}}, this is {{name}} Yes, No, I'm I "
    '"disposition":"confirmed","rescheduled","declined","opt_out","summary":"","fields":{"":"","changes":{"message":"'
    '"arguments":{},{"name":"end_call","arguments":{"disposition":"","tool_calls":[{"name":"note","arguments":{"field":"'
    '","value":""}}],"voicemail":{"last_sentence":"{"phone_number":"+{"call":{"phone_number":"+1","script_template":"'
    '","variables":{"name":""},"metadata":{}}}{"text":"'
).encode()
"""The dictionary of version 1. DEFLATE finds the end of it first, so the most frequent texts are there."""
_VERSION_1 = b"\x01"
_WINDOW_BITS = -12
"""4 kB, and no header or checksum: the seal authenticates the bytes."""
_MEMORY_LEVEL = 4
_LEVEL = 6
_COMPRESSOR = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
"""Read the dictionary once; each text is packed by a copy."""
_DECOMPRESSOR = zlib.decompressobj(_WINDOW_BITS, DICTIONARY)


def packed(text: bytes) -> bytes:
    """Returns the packed form of a JSON text."""
    compressor = _COMPRESSOR.copy()
    return _VERSION_1 + compressor.compress(text) + compressor.flush()


def unpacked(stored: bytes) -> bytes:
    """Returns the JSON text. Older builds stored it unpacked. Raises ValueError if it has another form."""
    if stored[:1] == b"{":
        return stored
    if stored[:1] != _VERSION_1:
        raise ValueError("packed by a newer build")
    decompressor = _DECOMPRESSOR.copy()
    try:
        return decompressor.decompress(stored[1:]) + decompressor.flush()
    except zlib.error as error:
        raise ValueError("the packed text is damaged") from error
