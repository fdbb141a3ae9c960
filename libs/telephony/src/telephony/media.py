"""The audio of a turn over HTTP: voice serves it, the telephone provider plays it, the edge relays it.

The URL carries a token, because speech is personal data and the ids in the path are no secret. The token signs the
path alone, so that it is valid under the public and the internal host name of voice.
"""

import hashlib
import hmac
from uuid import UUID

from telephony.routes import TURN_PATH, build_path

MEDIA_PATH = "/media" + TURN_PATH
"""The path's template, in Starlette's notation."""
TOKEN = "token"  # noqa: S105  the name of the query parameter
ASIDE = "aside"
"""Query parameter: the audio is not played on the call's line, so the line must not play its remainder either."""


def build_media_target(key: str, call_id: UUID, attempt: int, turn: int, *, is_aside: bool = False) -> str:
    """Returns the path and query of a turn's audio. `key` is the secret that edge and voice share."""
    path = build_path(MEDIA_PATH, call_id=call_id, attempt=attempt, turn=turn)
    return f"{path}?{TOKEN}={sign(key, path)}" + (f"&{ASIDE}=true" if is_aside else "")


def sign(key: str, path: str) -> str:
    """Returns the token of a path: HMAC-SHA256 (RFC 2104), in hexadecimal."""
    return hmac.new(key.encode(), path.encode(), hashlib.sha256).hexdigest()


def verify(key: str, path: str, token: str) -> bool:
    """Returns whether the token belongs to the path. Compares in constant time."""
    return hmac.compare_digest(sign(key, path).encode(), token.encode())
