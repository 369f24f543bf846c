from __future__ import annotations

from pathlib import Path

import pytest

from causeway.errors import SettingsError
from causeway.settings import Source, load, load_with_origins


def test_no_file_and_no_environment_are_needed() -> None:
    assert load({}).server.port == 8080


def test_the_environment_wins_over_the_file_and_origins_say_so(tmp_path: Path) -> None:
    file = tmp_path / "causeway.toml"
    file.write_text("[server]\nport = 1\nhost = '::1'\n")
    settings, origins = load_with_origins({"CAUSEWAY_CONFIG": str(file), "CAUSEWAY_SERVER__PORT": "2"})
    assert (settings.server.port, settings.server.host) == (2, "::1")
    assert origins == {"server.port": "CAUSEWAY_SERVER__PORT", "server.host": str(file)}


def test_an_unknown_key_is_named_with_its_origin() -> None:
    with pytest.raises(SettingsError, match=r"server\.prot \(from CAUSEWAY_SERVER__PROT\): no such setting"):
        load({"CAUSEWAY_SERVER__PROT": "2"})


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(SettingsError, match=r"server\.port"):
        load({"CAUSEWAY_SERVER__PORT": "99999"})


def test_a_missing_named_file_is_an_error() -> None:
    with pytest.raises(SettingsError, match="not a file"):
        load({"CAUSEWAY_CONFIG": "nowhere.toml"})


def test_broken_toml_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "causeway.toml"
    file.write_text("[server\n")
    with pytest.raises(SettingsError, match="TOML"):
        load({"CAUSEWAY_CONFIG": str(file)})


def test_secrets_do_not_show_in_a_repr() -> None:
    settings = load({"CAUSEWAY_PROVIDERS__OPENAI__API_KEY": "sk-secret"})
    assert "sk-secret" not in repr(settings)
    assert settings.providers["openai"].api_key.get_secret_value() == "sk-secret"


def test_what_was_changed_on_pages_wins_and_what_lies_under_it_stays_known(tmp_path: Path) -> None:
    file = tmp_path / "causeway.toml"
    file.write_text("[tiers.free]\nrequests_per_minute = 5\npriority = 2\n[tiers.trial]\n")
    source = Source({"CAUSEWAY_CONFIG": str(file), "CAUSEWAY_TIERS__FREE__MAX_OUTPUT_TOKENS": "64"})
    settings, origins = source.read(
        {"tiers.free": {"requests_per_minute": None}, "routes.a": {"models": ["b"]}}
    )
    free = settings.tiers["free"]
    assert (free.requests_per_minute, free.priority, free.max_output_tokens) == (None, 2, 64)
    assert free.tokens_per_minute == 40_000
    assert origins == {
        "tiers.free.requests_per_minute": "page",
        "tiers.free.priority": str(file),
        "tiers.free.max_output_tokens": "CAUSEWAY_TIERS__FREE__MAX_OUTPUT_TOKENS",
        "routes.a.models": "page",
    }
    assert source.read()[0].tiers["free"].requests_per_minute == 5


def test_a_wrong_value_of_a_page_is_named_with_its_origin() -> None:
    with pytest.raises(SettingsError, match=r"tiers\.free\.priority \(from page\)"):
        load_with_origins({}, {"tiers.free": {"priority": 99}})


def test_a_key_that_is_named_is_fetched_from_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "second").write_text("sk-second\n")
    environment = {"CAUSEWAY_STORAGE__DIR": str(tmp_path), "OPENAI_API_KEY": "sk-first"}
    provider = {"api_key": "env:OPENAI_API_KEY", "api_keys": ["file:second"]}
    settings, _ = load_with_origins(environment, {"providers.openai": provider})
    found = settings.providers["openai"]
    assert found.api_key.get_secret_value() == "sk-first"
    assert [key.get_secret_value() for key in found.api_keys] == ["sk-second"]


@pytest.mark.parametrize("reference", ["env:NOBODYS_API_KEY", "file:nobodys"])
def test_a_key_that_is_not_where_it_is_said_to_be_is_an_error(tmp_path: Path, reference: str) -> None:
    environment = {"CAUSEWAY_STORAGE__DIR": str(tmp_path), "CAUSEWAY_PROVIDERS__OPENAI__API_KEY": reference}
    place = r"providers\.openai\.api_key \(from CAUSEWAY_PROVIDERS__OPENAI__API_KEY\) is '" + reference
    with pytest.raises(SettingsError, match=place):
        load(environment)


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "causeway.toml"
    source = Source({"CAUSEWAY_CONFIG": str(file)})
    assert source.stamp() is None
    file.write_text("")
    empty = source.stamp()
    file.write_text("[server]\n")
    assert empty is not None
    assert source.stamp() != empty
