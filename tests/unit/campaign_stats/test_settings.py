"""A wrong setting is named and stops the service; a password in it is not shown."""

import pytest

from campaign_stats.settings import Settings
from chassis.settings import read


def test_a_missing_mongo_url_stops_the_service_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MONGO_URL", raising=False)
    with pytest.raises(SystemExit):
        read(Settings)
    assert "MONGO_URL" in capsys.readouterr().err


def test_a_mongo_url_of_another_kind_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONGO_URL", "postgres://user:hunter2@localhost")
    with pytest.raises(SystemExit):
        read(Settings)
    message = capsys.readouterr().err
    assert "MONGO_URL" in message
    assert "hunter2" not in message


def test_a_mongo_url_is_used_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "mongodb://user:hunter2@one,two/?replicaSet=rs0&retryWrites=false"
    monkeypatch.setenv("MONGO_URL", url)
    settings = read(Settings)
    assert settings.mongo_url.get_secret_value() == url
    assert settings.mongo_database == "centralita"
    assert "hunter2" not in repr(settings)
