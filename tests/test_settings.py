from __future__ import annotations

from pathlib import Path

import pytest

from causeway.errors import SettingsError
from causeway.settings import load, load_with_origins


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
