"""OpenAI's models on Azure: the same API at other addresses, with the key in a header of its own.

A ``base_url`` that ends in ``/openai/v1`` is the newer API, in which a model is named in the body. Any other, such as
``https://NAME.openai.azure.com``, is the older one, in which a model is a deployment in the path and the version is a
parameter. After https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from causeway.contracts.clock import Clock
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import Model
from causeway.settings import ProviderSettings

_DEPLOYMENTS_VERSION = "2024-10-21"
"""The newest version of the older API that is not a preview."""
_MOST_ADDRESSES = 1024  # a model's name may come from a caller
_THINKS = re.compile(r"^(o\d|gpt-[5-9])")


class AzureOpenAI(OpenAICompatible):
    """One Azure resource."""

    def __init__(self, name: str, settings: ProviderSettings, *, clock: Clock | None = None) -> None:
        super().__init__(name, settings, clock=clock)
        self._is_newer = self._base.endswith("/v1")
        self._version = settings.api_version or ("" if self._is_newer else _DEPLOYMENTS_VERSION)
        self._addresses: dict[tuple[str, str], str] = {}

    async def list_models(self) -> tuple[Model, ...]:
        """None: Azure lists the models that could be deployed, not the deployments that can be called."""
        return ()

    def _key_header(self, key: str) -> Mapping[str, str]:
        return {"api-key": key}

    def _max_tokens_name(self, model: str) -> str:
        """The older API knows the new name only for the models that refuse the old one."""
        return "max_completion_tokens" if self._is_newer or _THINKS.match(model) else "max_tokens"

    def _url(self, path: str, model: str) -> str:
        place = ("" if self._is_newer else model, path)
        url = self._addresses.get(place)
        if url is None:
            if len(self._addresses) >= _MOST_ADDRESSES:
                self._addresses.clear()
            url = self._addresses[place] = self._address(path, model)
        return url

    def _address(self, path: str, model: str) -> str:
        version = f"?api-version={quote(self._version, safe='')}" if self._version else ""
        if self._is_newer:
            return f"{self._base}/{path}{version}"
        root = self._base.removesuffix("/openai")
        deployment = quote(model, safe="")
        return f"{root}/openai/deployments/{deployment}/{path}{version}"
