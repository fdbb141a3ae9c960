"""The audio of a turn over HTTP: voice serves it, the telephone provider plays it, the edge relays it.

The URL carries a token, because speech is personal data and the ids in the path are no secret. The token signs the
path alone, so that it is valid under the public and the internal host name of voice. It is signed with a key that is
derived from the provider's secret, so a signed URL reveals nothing about that secret. Voice serves a URL only while its
attempt may use its line.
"""

import hashlib
import hmac
from uuid import UUID

from telephony.hkdf import derive_key
from telephony.routes import TURN_PATH, build_path

MEDIA_PATH = "/media" + TURN_PATH
"""The path's template, in Starlette's notation (`chassis.path_numbers`)."""
TOKEN = "token"  # noqa: S105  the name of the query parameter
ASIDE = "aside"
"""Query parameter: the audio is not played on the call's line, so the line must not play its remainder either."""
_PURPOSE = b"centralita media URLs, version 1"


def derive_media_key(secret: str) -> bytes:
    """Returns the key that signs media paths. `secret` is the one that edge and voice share with the provider."""
    return derive_key(secret.encode(), info=_PURPOSE)


def build_media_target(key: bytes, call_id: UUID, attempt: int, turn: int, *, is_aside: bool = False) -> str:
    """Returns the path and query of a turn's audio. `key` is that of `derive_media_key`."""
    path = build_path(MEDIA_PATH, call_id=call_id, attempt=attempt, turn=turn)
    return f"{path}?{TOKEN}={sign(key, path)}" + (f"&{ASIDE}=true" if is_aside else "")


def sign(key: bytes, path: str) -> str:
    """Returns the token of a path: HMAC-SHA256 (RFC 2104), in hexadecimal."""
    return hmac.new(key, path.encode(), hashlib.sha256).hexdigest()


def verify(key: bytes, path: str, token: str) -> bool:
    """Returns whether the token belongs to the path. Compares in constant time."""
    return hmac.compare_digest(sign(key, path).encode(), token.encode())
