from centralita.embedded.up import _api_key

STORED = "desk:read:" + "0" * 64


def test_a_run_without_keys_gets_one_that_is_new_each_time() -> None:
    key, settings = _api_key("")

    assert settings == {"API_KEYS": key}
    assert key not in ("", _api_key("")[0])
    assert ":" not in key


def test_a_key_of_the_settings_is_shown_and_no_setting_is_added() -> None:
    assert _api_key(f" , {STORED}, mine") == ("mine", {})


def test_an_entry_with_a_digest_shows_a_placeholder() -> None:
    assert _api_key(STORED) == ("YOUR-KEY", {})
