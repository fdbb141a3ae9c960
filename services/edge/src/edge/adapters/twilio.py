"""Twilio: its signature and its TwiML. The only module of the edge that imports its SDK."""

from collections.abc import Mapping

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.twiml.voice_response import VoiceResponse  # type: ignore[import-untyped]

from chassis.media_tokens import sign
from edge.ports import Prompt

RETRY_FRAGMENT = "#rc=2&rp=ct,rt,5xx"
"""Asks Twilio to repeat a webhook twice, on failed connections, time-outs and 5xx; it is no part of the signed URL."""

SILENCE_SECONDS = 5
"""How long the callee may say nothing after what was played."""

REGIONS = {"es": "es-ES", "en": "en-US"}
"""Twilio's recogniser wants a region; a tag that has one stays as it is."""


class Twilio:
    """`edge.ports.Telephone`. The URLs are the public ones, without a slash at their end."""

    def __init__(self, auth_token: str, public_url: str, media_url: str) -> None:
        self._token = auth_token
        self._validator = RequestValidator(auth_token)
        self._public_url = public_url
        self._media_url = media_url

    def is_genuine(self, target: str, form: Mapping[str, str], signature: str | None) -> bool:
        """Checked against the public URL, since behind a proxy the service's own is another."""
        if not signature:  # the validator raises TypeError at none
            return False
        return bool(self._validator.validate(self._public_url + target, form, signature))

    def prompt(self, prompt: Prompt) -> str:
        """``<Gather>`` around ``<Play>``, or around ``<Say>``, whose callback then asks for the same turn again."""
        base = f"{self._public_url}/twilio/gather/{prompt.call_id}/{prompt.attempt}/{prompt.turn + 1}"
        language = REGIONS.get(prompt.language, prompt.language)
        response = VoiceResponse()
        gather = response.gather(
            input="speech",
            action=base + ("?said=true" if prompt.say else "") + RETRY_FRAGMENT,
            method="POST",
            timeout=SILENCE_SECONDS,
            speech_timeout="auto",
            language=language,
            barge_in=True,
            action_on_empty_result=True,
        )
        if prompt.say:
            gather.say(prompt.say, language=language)
        else:
            gather.play(self._media_url + self._media_path(prompt))
        return str(response)

    def hang_up(self) -> str:
        """``<Hangup/>``."""
        response = VoiceResponse()
        response.hangup()
        return str(response)

    def _media_path(self, prompt: Prompt) -> str:
        path = f"/media/{prompt.call_id}/{prompt.attempt}/{prompt.turn}"
        return f"{path}?token={sign(self._token, path)}"
