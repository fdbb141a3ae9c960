"""Speech over `multi-stream-input` of the ElevenLabs simulator, with a plain WebSocket client."""

import base64
from typing import Any

import pytest
from elevenlabs import types
from tests.integration.simulators.sockets import SPEECH, Socket, Vendor, elevenlabs

SENTENCE = "Buenos días, le llamamos de la clínica. "
LONG = SENTENCE * 4


def is_final(message: dict[str, Any]) -> bool:
    return "isFinal" in message


def audio_of(messages: list[dict[str, Any]], context_id: str = "1") -> bytes:
    pieces = [message["audio"] for message in messages if "audio" in message and message["contextId"] == context_id]
    return b"".join(map(base64.b64decode, pieces))


async def spoken(socket: Socket, text: str, context_id: str = "1", **first: Any) -> list[dict[str, Any]]:
    """Returns all messages of a context that speaks this text."""
    await socket.send(text=" ", context_id=context_id, **first)
    await socket.send(text=text, context_id=context_id, flush=True)
    await socket.send(context_id=context_id, close_context=True)
    return await socket.receive_until(is_final)


async def http_audio(vendor: Vendor, text: str) -> bytes:
    url = f"{vendor.origin}/v1/text-to-speech/Rachel/stream?output_format=ulaw_8000"
    async with vendor.session.post(url, json={"text": text}, headers={"xi-api-key": "fictional"}) as answer:
        return await answer.read()


async def test_a_context_speaks_the_same_audio_as_http_in_the_shapes_of_the_sdk() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        messages = await spoken(socket, SENTENCE)
        assert audio_of(messages) == await http_audio(vendor, SENTENCE)
    assert len(messages) > 3
    for message in messages[:-1]:
        types.AudioOutputMulti.model_validate(message, strict=True)
        assert set(message) == {"audio", "alignment", "normalizedAlignment", "contextId"}
    assert types.FinalOutputMulti.model_validate(messages[-1], strict=True).context_id == "1"
    assert messages[-1] == {"isFinal": True, "contextId": "1"}


async def test_alignments_are_relative_to_their_chunks_and_add_up_to_the_audio() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        messages = await spoken(socket, SENTENCE)
    characters = ""
    for message in messages[:-1]:
        alignment = message["alignment"]
        starts, durations = alignment["charStartTimesMs"], alignment["charDurationsMs"]
        milliseconds = len(base64.b64decode(message["audio"])) / 8
        assert starts[0] == 0
        assert starts[-1] + durations[-1] == pytest.approx(milliseconds, abs=1)
        assert [start + length for start, length in zip(starts, durations, strict=True)][:-1] == starts[1:]
        characters += "".join(alignment["chars"])
    assert characters == SENTENCE


async def test_a_faster_voice_is_shorter() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        slow = audio_of(await spoken(socket, SENTENCE))
        fast = audio_of(await spoken(socket, SENTENCE, voice_settings={"speed": 1.2}))
    assert len(fast) == pytest.approx(len(slow) / 1.2, rel=0.01)


async def test_an_mp3_ends_with_audio_that_has_no_alignment() -> None:
    async with elevenlabs() as vendor, vendor.speech(output_format="mp3_22050_32") as socket:
        messages = await spoken(socket, SENTENCE)
    assert messages[-2]["alignment"] is None
    assert "".join("".join(message["alignment"]["chars"]) for message in messages[:-2]) == SENTENCE


async def test_a_short_text_waits_until_it_is_flushed() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=SENTENCE, context_id="waits")
        other = await spoken(socket, SENTENCE, context_id="speaks")
        assert {message["contextId"] for message in other} == {"speaks"}
        await socket.send(context_id="waits", flush=True)
        assert (await socket.receive())["contextId"] == "waits"


async def test_a_text_that_is_long_enough_is_spoken_without_a_flush() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=LONG, context_id="1")
        assert (await socket.receive())["contextId"] == "1"


async def test_each_generation_waits_for_its_own_length_of_text() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=" ", context_id="1", generation_config={"chunk_length_schedule": [50, 500]})
        await socket.send(text=SENTENCE * 2, context_id="1")
        await socket.send(text=SENTENCE * 2, context_id="1")
        await socket.send(context_id="1", close_context=True)
        messages = await socket.receive_until(is_final)
        assert audio_of(messages) == await http_audio(vendor, SENTENCE * 2)


async def test_auto_mode_speaks_each_text_at_once() -> None:
    async with elevenlabs() as vendor, vendor.speech(auto_mode="true") as socket:
        await socket.send(text=" ", context_id="1")
        await socket.send(text="Sí. ", context_id="1")
        assert "".join((await socket.receive())["alignment"]["chars"]) == "Sí. "


async def test_a_closed_context_speaks_what_was_flushed_and_not_the_rest() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=SENTENCE, context_id="1", flush=True)
        await socket.send(text="The rest. ", context_id="1")
        await socket.send(context_id="1", close_context=True)
        messages = await socket.receive_until(is_final)
        assert audio_of(messages) == await http_audio(vendor, SENTENCE)
        again = await spoken(socket, "Again. ")
        assert audio_of(again) == await http_audio(vendor, "Again. ")
    assert vendor.usage.contexts == 2


async def test_contexts_speak_side_by_side() -> None:
    async with elevenlabs(speed=5.0) as vendor, vendor.speech() as socket:
        for context_id in ("a", "b"):
            await socket.send(text=LONG, context_id=context_id, flush=True)
            await socket.send(context_id=context_id, close_context=True)
        messages = await socket.receive_until(is_final)
        messages += await socket.receive_until(is_final)
        assert audio_of(messages, "a") == audio_of(messages, "b") == await http_audio(vendor, LONG)
        context_ids = [message["contextId"] for message in messages]
        assert context_ids != sorted(context_ids), "one context spoke only after the other"


async def test_a_message_without_a_context_belongs_to_the_default_one() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=SENTENCE, flush=True)
        assert (await socket.receive())["contextId"] == "default"


async def test_closing_the_socket_waits_for_what_was_flushed() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=SENTENCE, context_id="1", flush=True)
        await socket.send(text="Not flushed. ", context_id="2")
        await socket.send(close_socket=True)
        messages = await socket.receive_until(is_final)
        messages += await socket.receive_until(is_final)
        assert audio_of(messages) == await http_audio(vendor, SENTENCE)
        assert audio_of(messages, "2") == b""
        assert await socket.closed() == 1000
        await vendor.wait_until_idle()


async def expect_error(socket: Socket, name: str) -> dict[str, Any]:
    """Receives an error with this name, and the end of the socket."""
    error = (await socket.receive_until(lambda message: "error" in message))[-1]
    assert set(error) == {"message", "error", "code"}
    assert (error["error"], error["code"]) == (name, 1008)
    assert await socket.closed() == 1008
    return error


async def test_a_sixth_context_ends_the_socket() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        for number in range(6):
            await socket.send(text=" ", context_id=f"{number}")
        error = await expect_error(socket, "max_active_conversations")
        assert "exceeded (5)" in error["message"]
        await vendor.wait_until_idle()


async def test_a_closed_context_counts_until_it_has_spoken_to_its_end() -> None:
    async with elevenlabs(speed=1.0) as vendor, vendor.speech() as socket:
        for number in range(6):
            await socket.send(text=LONG * 10, context_id=f"{number}", flush=True)
            await socket.send(context_id=f"{number}", close_context=True)
        await expect_error(socket, "max_active_conversations")


async def test_a_socket_without_input_ends_after_its_inactivity_timeout() -> None:
    async with elevenlabs() as vendor, vendor.speech(inactivity_timeout=1) as socket:
        await socket.send(text=SENTENCE, context_id="1")
        error = await expect_error(socket, "input_timeout_exceeded")
        assert "timeout of 1.0 seconds" in error["message"]
        await vendor.wait_until_idle()


async def test_a_context_that_is_not_kept_alive_is_closed() -> None:
    async with elevenlabs() as vendor, vendor.speech(inactivity_timeout=4) as socket:
        await socket.send(text=SENTENCE, context_id="idle")
        await socket.send(text=SENTENCE, context_id="alive")
        final: dict[str, Any] | None = None
        while final is None:
            await socket.send(text="", context_id="alive")
            try:
                final = await socket.websocket.receive_json(timeout=0.05)
            except TimeoutError:
                continue
        assert final == {"isFinal": True, "contextId": "idle"}
        await socket.send(context_id="alive", flush=True)
        assert (await socket.receive())["contextId"] == "alive"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"model_id": "eleven_nothing"}, "model_not_found"),
        ({"model_id": "eleven_v3"}, "model_not_supported"),
        ({"model_id": "eleven_flash_v2", "language_code": "es"}, "unsupported_language"),
        ({"output_format": "ulaw_16000"}, "invalid_output_format"),
        ({"inactivity_timeout": 181}, "invalid_parameters"),
        ({"auto_mode": "perhaps"}, "invalid_parameters"),
    ],
)
async def test_an_invalid_query_ends_the_socket(query: dict[str, Any], error: str) -> None:
    async with elevenlabs() as vendor, vendor.speech(**query) as socket:
        await expect_error(socket, error)


@pytest.mark.parametrize(
    "text",
    ["not JSON", "[]", '{"text": 1}', '{"text": "a", "voice_settings": {"speed": 3}}', '{"text": "a", "flush": 7}'],
)
async def test_an_invalid_message_ends_the_socket(text: str) -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.websocket.send_str(text)
        await expect_error(socket, "invalid_input_message")


async def test_a_schedule_out_of_bounds_ends_the_socket() -> None:
    async with elevenlabs() as vendor, vendor.speech() as socket:
        await socket.send(text=" ", generation_config={"chunk_length_schedule": [10]})
        await expect_error(socket, "invalid_input_message")


async def test_too_much_pending_text_ends_the_socket() -> None:
    async with elevenlabs(speed=1.0) as vendor, vendor.speech() as socket:
        await socket.send(text=LONG * 10, context_id="1", flush=True)
        await socket.receive()
        for _ in range(2):
            await socket.send(text="x" * 30_000, context_id="1", flush=True)
        await expect_error(socket, "max_character_limit_exceeded")
        await vendor.wait_until_idle()


@pytest.mark.parametrize("name", ["xi-api-key", "xi_api_key"])
async def test_the_key_may_be_in_the_first_message_of_a_context(name: str) -> None:
    async with elevenlabs(api_key="right") as vendor, vendor.connect(SPEECH, {}) as socket:
        messages = await spoken(socket, SENTENCE, **{name: "right"})
        assert is_final(messages[-1])


async def test_a_wrong_key_ends_the_socket() -> None:
    async with elevenlabs(api_key="right") as vendor:
        async with vendor.connect(SPEECH, {"xi-api-key": "wrong"}) as socket:
            await expect_error(socket, "invalid_api_key")
        async with vendor.connect(SPEECH, {}) as socket:
            await socket.send(text=" ", **{"xi-api-key": "wrong"})
            await expect_error(socket, "invalid_api_key")
        async with vendor.connect(SPEECH, {}) as socket:
            await socket.send(text=" ")
            await expect_error(socket, "needs_authorization")


async def test_a_generation_above_the_concurrency_limit_ends_the_socket() -> None:
    async with elevenlabs(concurrency=1, speed=1.0) as vendor, vendor.speech() as first, vendor.speech() as second:
        await first.send(text=LONG * 10, flush=True)
        await first.receive()
        await second.send(text=LONG, flush=True)
        await expect_error(second, "too_many_concurrent_requests")


async def test_an_idle_socket_does_not_count_towards_the_concurrency_limit() -> None:
    async with elevenlabs(concurrency=1) as vendor, vendor.speech() as first, vendor.speech() as second:
        assert is_final((await spoken(first, SENTENCE))[-1])
        assert is_final((await spoken(second, SENTENCE))[-1])


async def test_a_client_that_disconnects_while_it_is_spoken_to_leaves_no_context() -> None:
    async with elevenlabs(speed=1.0) as vendor:
        async with vendor.speech() as socket:
            await socket.send(text=LONG * 10, context_id="1", flush=True)
            await socket.receive()
            assert (vendor.usage.speech_sockets_open, vendor.usage.contexts_open) == (1, 1)
        await vendor.wait_until_idle()
        assert audio_of(await spoken_once(vendor))


async def spoken_once(vendor: Vendor) -> list[dict[str, Any]]:
    async with vendor.speech() as socket:
        return await spoken(socket, "Sí. ")


async def test_the_usage_counts_sockets_contexts_and_characters() -> None:
    async with elevenlabs() as vendor:
        await spoken_once(vendor)
        await http_audio(vendor, SENTENCE)
        await vendor.wait_until_idle()
        assert (vendor.usage.speech_sockets, vendor.usage.contexts) == (1, 1)
        assert vendor.usage.characters == len("Sí. ") + len(SENTENCE)
