"""Twilio's media streams: who opens them."""

from hmac import compare_digest

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]


class StreamSignatures:
    """Twilio's signatures of the handshakes of media streams.

    `live_url`: the public address of the streams, ``wss://…``, without a slash at its end.
    """

    def __init__(self, auth_token: str, live_url: str) -> None:
        self._validator = RequestValidator(auth_token)
        self._live_url = live_url

    def is_authentic(self, path: str, signature: str) -> bool:
        """Whether Twilio signed the handshake for this path. What it signs is the URL, which has no query.

        Compares in constant time. The URL with its port in it is accepted, too: the documents leave open which it is.
        """
        url = self._live_url + path
        host = self._live_url.rpartition("//")[2]
        urls = [url] if ":" in host else [url, f"{self._live_url}:443{path}"]
        expected = (self._validator.compute_signature(one, {}) for one in urls)
        return any(compare_digest(one.encode(), signature.encode()) for one in expected)
