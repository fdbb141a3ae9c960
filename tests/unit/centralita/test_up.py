from centralita.embedded.console import PLACEHOLDER, ConsoleLogin, api_key

STORED = "desk:read:" + "0" * 64


def test_a_run_without_keys_gets_one_that_is_new_each_time() -> None:
    made = api_key("")

    assert made.settings == {"API_KEYS": made.key}
    assert made.key not in ("", api_key("").key)
    assert ":" not in made.key


def test_a_key_of_the_settings_is_shown_and_no_setting_is_added() -> None:
    made = api_key(f" , {STORED}, mine")

    assert (made.key, made.settings) == ("mine", {})


def test_an_entry_with_a_digest_shows_a_placeholder() -> None:
    made = api_key(STORED)

    assert (made.key, made.settings, made.is_known) == (PLACEHOLDER, {}, False)


def test_the_link_to_the_console_has_a_token_that_is_new_each_time_and_not_the_key() -> None:
    login, other = (ConsoleLogin.of(api_key("mine")) for _ in range(2))

    assert login.link("http://127.0.0.1:8080") == f"http://127.0.0.1:8080/login?token={login.token}"
    assert login.settings == {"CONSOLE_TOKEN": login.token, "CONSOLE_API_KEY": "mine"}
    assert login.token != other.token
    assert "mine" not in login.link("") + repr(login)


def test_without_a_known_key_the_console_asks_for_one() -> None:
    login = ConsoleLogin.of(api_key(STORED))

    assert login.link("http://127.0.0.1:8080") == "http://127.0.0.1:8080"
    assert login.settings == {}
