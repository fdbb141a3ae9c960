"""URLs are parsed as they were built, and keep the form that calls in progress use."""

from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from starlette.routing import compile_path

import chassis.path_numbers  # noqa: F401  the convertor of the paths
from centralita.operations.doctor import public as doctor
from telephony.media import MEDIA_PATH, build_media_target, derive_media_key, verify
from telephony.routes import (
    AFTER_SEQUENCE,
    AFTER_SPOKEN_TEXT,
    FIRST_SENTENCE,
    TRANSFER_WEBHOOKS,
    Webhook,
    parse_sequence,
)
from telephony.timing import HANDOVER_SECONDS, SILENCE_SECONDS
from telephony.twilio import build_urls

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
URLS = build_urls("https://calls.example.com")
BUILT = {
    Webhook.ANSWERED: URLS.answered(CALL, 2),
    Webhook.STATUS: URLS.status(CALL, 2),
    Webhook.CLASSIFICATION: URLS.classification(CALL, 2),
    Webhook.UTTERANCE: URLS.utterance(CALL, 2, 7, is_after_spoken_text=True),
    Webhook.REMAINDER: URLS.remainder(CALL, 2, 7, 3),
    Webhook.MESSAGE: URLS.message(CALL, 2, is_finished=True, is_after_spoken_text=True),
    Webhook.STREAM_ENDED: URLS.stream_ended(CALL, 2, 4),
    **{webhook: URLS.transfer(webhook, CALL, 2, 7) for webhook in TRANSFER_WEBHOOKS},
}
BASE = "https://calls.example.com/twilio"
RETRY = "#rc=2&rp=ct,rt,5xx"


def parse(template: str, path: str) -> dict[str, object]:
    pattern, _, convertors = compile_path(template)
    found = pattern.match(path)
    assert found, path
    return {name: convertors[name].convert(value) for name, value in found.groupdict().items()}


@pytest.mark.parametrize("webhook", Webhook)
def test_a_webhook_url_is_parsed_as_it_was_built(webhook: Webhook) -> None:
    url = urlsplit(BUILT[webhook])
    turn = {"turn": 7} if webhook in (Webhook.UTTERANCE, Webhook.REMAINDER, *TRANSFER_WEBHOOKS) else {}
    turn |= {"generation": 4} if webhook is Webhook.STREAM_ENDED else {}

    assert parse("/twilio" + webhook.template, url.path) == {"call_id": CALL, "attempt": 2, **turn}


def test_webhook_urls_have_the_form_of_earlier_versions() -> None:
    assert {
        Webhook.ANSWERED: f"{BASE}/voice/{CALL}/2{RETRY}",
        Webhook.STATUS: f"{BASE}/status/{CALL}/2{RETRY}",
        Webhook.CLASSIFICATION: f"{BASE}/amd/{CALL}/2{RETRY}",
        Webhook.UTTERANCE: f"{BASE}/gather/{CALL}/2/7?said=true{RETRY}",
        Webhook.REMAINDER: f"{BASE}/say/{CALL}/2/7?from=3{RETRY}",
        Webhook.MESSAGE: f"{BASE}/message/{CALL}/2?finished=true&said=true{RETRY}",
        Webhook.STREAM_ENDED: f"{BASE}/live/{CALL}/2/4{RETRY}",
        Webhook.TRANSFER_ENDED: f"{BASE}/transfer/{CALL}/2/7{RETRY}",
        Webhook.TRANSFER_ANSWERED: f"{BASE}/transfer_answered/{CALL}/2/7{RETRY}",
        Webhook.TRANSFER_OFFERED: f"{BASE}/transfer_offer/{CALL}/2/7{RETRY}",
        Webhook.TRANSFER_CHOSEN: f"{BASE}/transfer_choice/{CALL}/2/7{RETRY}",
    } == BUILT
    assert URLS.utterance(CALL, 2, 7, is_after_spoken_text=False) == f"{BASE}/gather/{CALL}/2/7{RETRY}"
    assert URLS.message(CALL, 2) == f"{BASE}/message/{CALL}/2{RETRY}"


@pytest.mark.parametrize("after_sequence", [1, 10**17])
def test_a_url_of_a_turn_carries_its_sequence(after_sequence: int) -> None:
    utterance = URLS.utterance(CALL, 2, 7, is_after_spoken_text=False, after_sequence=after_sequence)
    after_spoken_text = URLS.utterance(CALL, 2, 7, is_after_spoken_text=True, after_sequence=after_sequence)
    remainder = URLS.remainder(CALL, 2, 7, 3, after_sequence=after_sequence)
    media = build_media_target(b"key", CALL, 2, 7, after_sequence=after_sequence)

    assert utterance == f"{BASE}/gather/{CALL}/2/7?after={after_sequence}{RETRY}"
    assert after_spoken_text == f"{BASE}/gather/{CALL}/2/7?said=true&after={after_sequence}{RETRY}"
    assert remainder == f"{BASE}/say/{CALL}/2/7?from=3&after={after_sequence}{RETRY}"
    for url in (utterance, after_spoken_text, remainder, media):
        [value] = parse_qs(urlsplit(url).query)[AFTER_SEQUENCE]
        assert parse_sequence(value) == after_sequence


@pytest.mark.parametrize("value", [None, "", "-1", "1.5", "1e3", " 1", "+1", "\u0661", "9" * 19, "9" * 5_000])
def test_what_is_no_sequence_is_as_if_it_was_missing(value: str | None) -> None:
    assert parse_sequence(value) == 0


def test_query_parameters_are_those_of_the_url() -> None:
    assert parse_qs(urlsplit(BUILT[Webhook.UTTERANCE]).query) == {AFTER_SPOKEN_TEXT: ["true"]}
    assert parse_qs(urlsplit(BUILT[Webhook.REMAINDER]).query) == {FIRST_SENTENCE: ["3"]}


def test_a_media_url_is_parsed_as_it_was_built_and_its_token_is_valid() -> None:
    url = urlsplit(build_media_target(b"key", CALL, 2, 7))
    [token] = parse_qs(url.query)["token"]

    assert url.path == f"/media/{CALL}/2/7"
    assert parse(MEDIA_PATH, url.path) == {"call_id": CALL, "attempt": 2, "turn": 7}
    assert verify(b"key", url.path, token)
    assert build_media_target(b"key", CALL, 2, 7, is_aside=True) == f"{url.path}?token={token}&aside=true"


def test_a_media_token_is_signed_with_the_derived_key_and_that_of_every_replica() -> None:
    key, token = derive_media_key("key"), "ceb3804275788ea3027dfda0c83621f9c850cb980d776d3aa9a272c956ca5a34"

    assert build_media_target(key, CALL, 2, 7) == f"/media/{CALL}/2/7?token={token}"
    assert not verify(b"key", f"/media/{CALL}/2/7", token)


@pytest.mark.parametrize(
    ("key", "turn", "after"), [(b"another key", 7, 5), (b"key", 8, 5), (b"key", 7, 6), (b"key", 7, 0)]
)
def test_a_media_token_is_invalid_for_another_key_path_or_sequence(key: bytes, turn: int, after: int) -> None:
    [token] = parse_qs(urlsplit(build_media_target(b"key", CALL, 2, 7, after_sequence=5)).query)["token"]

    assert verify(b"key", f"/media/{CALL}/2/7", token, 5)
    assert not verify(key, f"/media/{CALL}/2/{turn}", token, after)
    assert token not in build_media_target(b"key", CALL, 2, 7)


def test_the_doctor_requests_paths_that_edge_and_voice_serve() -> None:
    no_call = doctor.UNKNOWN_CALL_ID

    assert urlsplit(URLS.status(no_call, 0)).path == doctor.STATUS_PATH
    assert urlsplit(build_media_target(b"key", no_call, 0, 0)).path == doctor.MEDIA_PATH


def test_the_handover_by_voice_times_out_before_the_edge_reacts_to_the_silence() -> None:
    assert HANDOVER_SECONDS < SILENCE_SECONDS
