from centralita.embedded.up import _key

STORED = "desk:read:" + "0" * 64


def test_a_run_without_keys_gets_one_that_is_new_each_time() -> None:
    key, told = _key("")

    assert told == {"API_KEYS": key}
    assert key not in ("", _key("")[0])
    assert ":" not in key


def test_a_key_of_the_settings_is_shown_and_the_settings_stay() -> None:
    assert _key(f" , {STORED}, mine") == ("mine", {})


def test_of_an_entry_the_key_is_not_known_so_none_is_shown() -> None:
    assert _key(STORED) == ("YOUR-KEY", {})
