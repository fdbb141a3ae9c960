"""The addresses of audio: that of a turn over HTTP, and the media streams of live conversations.

Voice serves the audio of a turn, the telephone provider plays it, the edge relays it. Voice accepts the media stream,
which the provider opens. A stream has audio, or text if the provider itself transcribes and speaks.

The URL carries a token, because speech is personal data and the ids in the path are no secret. The token signs the
path and the sequence in the URL (`telephony.routes`). It does not sign a host name, so it is valid under the public and
the internal one of voice. It is signed with a key that is derived from the provider's secret, so a signed URL reveals
nothing about that secret. Voice serves a URL only while its attempt may use its line.
"""

import hashlib
import hmac
from uuid import UUID

from telephony.hkdf import derive_key
from telephony.routes import AFTER_SEQUENCE, GENERATION_PATH, TURN_PATH, build_path, build_query

MEDIA_PATH = "/media" + TURN_PATH
"""The template of the path of a turn's audio, in Starlette's notation (`chassis.path_numbers`)."""
STREAM_PATH = "/media/stream" + GENERATION_PATH
"""The path of a media stream, in the same notation. Its address has no query: the provider refuses one."""
RELAY_PATH = "/media/relay" + GENERATION_PATH
"""The path of a stream of text, as `STREAM_PATH`."""
TOKEN = "token"  # noqa: S105  the name of the query parameter, and of the parameter of a stream
ASIDE = "aside"
"""Query parameter: the audio is not played on the call's line, so the line must not play its remainder either."""
_PURPOSE = b"centralita media URLs, version 1"


def derive_media_key(secret: str) -> bytes:
    """Returns the key that signs media paths. `secret` is the one that edge and voice share with the provider."""
    return derive_key(secret.encode(), info=_PURPOSE)


def build_media_target(
    key: bytes, call_id: UUID, attempt: int, turn: int, *, after_sequence: int = 0, is_aside: bool = False
) -> str:
    """Returns the path and query of a turn's audio. `key` is that of `derive_media_key`."""
    path = build_path(MEDIA_PATH, call_id=call_id, attempt=attempt, turn=turn)
    return path + build_query(
        {
            TOKEN: sign(key, path, after_sequence),
            AFTER_SEQUENCE: after_sequence or None,
            ASIDE: "true" if is_aside else None,
        }
    )


def stream_path(call_id: UUID, attempt: int, generation: int) -> str:
    """Returns the path of a media stream."""
    return build_path(STREAM_PATH, call_id=call_id, attempt=attempt, generation=generation)


def relay_path(call_id: UUID, attempt: int, generation: int) -> str:
    """Returns the path of a stream of text."""
    return build_path(RELAY_PATH, call_id=call_id, attempt=attempt, generation=generation)


def sign(key: bytes, path: str, after_sequence: int = 0) -> str:
    """Returns the token of a path and a sequence: HMAC-SHA256 (RFC 2104), in hexadecimal."""
    signed = path + build_query({AFTER_SEQUENCE: after_sequence or None})
    return hmac.digest(key, signed.encode(), hashlib.sha256).hex()


def verify(key: bytes, path: str, token: str, after_sequence: int = 0) -> bool:
    """Returns whether the token belongs to the path and the sequence. Compares in constant time."""
    return hmac.compare_digest(sign(key, path, after_sequence).encode(), token.encode())
