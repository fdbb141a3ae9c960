"""Sessions of people who are logged in, in memory: the cookie has a random id, and the API key stays in this process.

A restart of the process ends all sessions. The id has 256 random bits, so there is nothing to sign (ADR 51).
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from centralita_console.act_reports import Reports

SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1_000
"""The oldest session ends when another one begins. Only a valid API key begins one."""
MAX_KEY_LENGTH = 512


@dataclass(slots=True)
class Session:
    """One person who is logged in, on one browser. `csrf_token` is in each form, which another site cannot read.

    `reports`: what became of the acts on calls.
    """

    session_id: str = field(repr=False)
    api_key: str = field(repr=False)
    csrf_token: str = field(repr=False)
    language: str
    ends_at: float
    reports: Reports = field(default_factory=Reports, repr=False)


class Sessions:
    """The sessions of this process. `now` returns a monotonic time in seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, api_key: str, language: str) -> Session:
        """Returns a new session with a valid API key."""
        self._remove_ended()
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)
        session = Session(_random(), api_key, _random(), language, self._now() + SESSION_SECONDS)
        self._sessions[session.session_id] = session
        return session

    def find(self, session_id: str | None) -> Session | None:
        """Returns a session that has not ended."""
        session = self._sessions.get(session_id or "")
        if session and session.ends_at <= self._now():
            self.end(session)
            return None
        return session

    def end(self, session: Session) -> None:
        """Ends a session; its API key is forgotten."""
        self._sessions.pop(session.session_id, None)

    def _remove_ended(self) -> None:
        for session in [one for one in self._sessions.values() if one.ends_at <= self._now()]:
            self.end(session)


class LoginToken:
    """The token of a link that logs in once. Without one, no link does."""

    def __init__(self, token: str | None, api_key: str | None) -> None:
        self._token = token
        self._api_key = api_key

    def redeem(self, token: str) -> str | None:
        """Returns the API key of the token, once; None for any other token."""
        if not self._token or not secrets.compare_digest(token.encode(), self._token.encode()):
            return None
        api_key, self._token, self._api_key = self._api_key, None, None
        return api_key


def may_be_key(text: str) -> bool:
    """Whether a text can be an API key: printable ASCII without a space. Others cannot be sent in a header."""
    return 0 < len(text) <= MAX_KEY_LENGTH and text.isascii() and text.isprintable() and " " not in text


def _random() -> str:
    return secrets.token_urlsafe(32)
