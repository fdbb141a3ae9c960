"""A person who wants no more calls is recognized by words, without a model."""

import pytest

from contracts.opt_out_phrases import is_opt_out


@pytest.mark.parametrize(
    "utterance",
    [
        "Please don't call me again.",
        "Stop calling me!",
        "Do not call me",
        "I said no. Don't call me, please.",
        "Take me off your list",
        "Can you remove my number please?",
        "No more calls, thanks",
        "I want to opt out",
        "unsubscribe",
        "Put me on your do-not-call list",
        "I don't want any more calls",
        "No me llame más.",
        "No me llamen",
        "¡No vuelva a llamarme!",
        "Por favor no me vuelvan a llamar nunca más",
        "deje de llamar",
        "Dejen de molestarme, por favor",
        "No quiero recibir más llamadas",
        "No quiero que me llamen",
        "borren mi número",
        "Quítenme de su lista",
        "quiero darme de baja",
        "Estoy en la Lista Robinson",
        "NO ME LLAMEN MÁS",
    ],
)
def test_words_that_ask_for_no_more_calls_are_recognized(utterance: str) -> None:
    assert is_opt_out(utterance)


@pytest.mark.parametrize(
    "utterance",
    [
        "",
        "Yes, that's me.",
        "Don't call me before ten",
        "I can't talk now, call me tomorrow",
        "I will call you again",
        "They never called me back",
        "No me llame antes de las diez",
        "No me llamo Ana",
        "Llámeme más tarde",
        "No, gracias",
        "Me llaman del colegio",
        "Quiero cambiar mi número de cita",
        "Estoy de baja esta semana",
    ],
)
def test_other_words_are_no_opt_out(utterance: str) -> None:
    assert not is_opt_out(utterance)
