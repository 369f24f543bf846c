from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from causeway.errors import SettingsError, UnknownModelError
from causeway.models.catalog import CarrierSource, Catalog
from causeway.settings import ModelSettings


def test_every_default_model_is_in_the_catalogue() -> None:
    catalog = Catalog.load()
    settings = ModelSettings()
    kinds = {name: catalog.get(name).kind for name in settings.names()}
    assert kinds == {
        settings.chat: "chat",
        settings.fast: "chat",
        settings.embed: "embed",
        settings.rerank: "rerank",
    }


def test_every_file_can_be_had_without_a_model_hub() -> None:
    files = [file for card in Catalog.load() for file in card.files]
    assert all(any(isinstance(source, CarrierSource) for source in file.sources) for file in files)


def test_every_adapter_comes_with_causeway() -> None:
    adapters = [adapter for card in Catalog.load() for adapter in card.adapters]
    assert adapters
    for adapter in adapters:
        assert hashlib.sha256(adapter.path.read_bytes()).hexdigest() == adapter.sha256


def test_every_part_of_a_carrier_has_a_package_and_a_member_of_its_own() -> None:
    carriers = [
        source
        for card in Catalog.load()
        for file in card.files
        for source in file.sources
        if isinstance(source, CarrierSource)
    ]
    for carrier in carriers:
        parts = range(1, carrier.parts + 1)
        assert len({carrier.package.format(part=part) for part in parts}) == carrier.parts
        assert len({carrier.member.format(part=part) for part in parts}) == carrier.parts


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'bge-small-en'"):
        Catalog.load().get("bge-small")


@pytest.mark.parametrize(
    "wrong",
    [
        "[[model]]\nid = 'm'",
        "[[model]]\nid = '../m'\nkind='chat'\ndescription=''\nlicense='MIT'\ncontext_tokens=1\nfile=[]",
        "not toml",
    ],
)
def test_a_catalogue_that_cannot_be_read_is_named(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(wrong)
    with pytest.raises(SettingsError, match="model catalogue"):
        Catalog.load(file)
