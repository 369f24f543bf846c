"""An ONNX model with its tokenizer: texts to padded token arrays to the model's first output."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from causeway import seams
from causeway.errors import MissingModelFileError
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tokenizers
else:
    np = deferred("numpy")

Floats: TypeAlias = "npt.NDArray[np.float32]"


def load_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer of the model in ``folder``, which neither cuts nor pads.

    Raises:
        MissingModelFileError: It is not there.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise MissingModelFileError(f"'{file}' is not on this machine; run `causeway models pull`")
    tokenizer: tokenizers.Tokenizer = seams.library("tokenizers").Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class OnnxModel:
    """Loaded when it is first run; safe to run from several threads, each of which computes on one core.

    Args:
        folder: Has ``model.onnx`` and ``tokenizer.json``.
        max_tokens: Longer texts are cut there.
    """

    def __init__(self, folder: Path, *, max_tokens: int) -> None:
        self._folder = folder
        self._max_tokens = max_tokens
        self._loading = threading.Lock()
        self._tokenizer: tokenizers.Tokenizer | None = None
        self._session: Any = None  # an onnxruntime.InferenceSession, which has no type stubs

    def encode(self, texts: Sequence[str], *, query: str | None = None) -> list[tokenizers.Encoding]:
        """Tokens of every text, or of every pair of ``query`` and text.

        One at a time on purpose: ``encode_batch`` is faster but starts threads, which a process that forks later
        must not have (the library warns about it and then falls back).
        """
        tokenizer = self._loaded_tokenizer()
        if query is None:
            return [tokenizer.encode(text) for text in texts]
        return [tokenizer.encode(query, text) for text in texts]

    def run(self, encodings: Sequence[tokenizers.Encoding]) -> Floats:
        """The model's first output for one padded batch."""
        shape = (len(encodings), max(len(encoding) for encoding in encodings))
        ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
            types[row, : len(encoding)] = encoding.type_ids
        fed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        output: Any = self._loaded_session().run(None, fed)[0]
        return np.asarray(output, np.float32)

    def _loaded_tokenizer(self) -> tokenizers.Tokenizer:
        with self._loading:
            if self._tokenizer is None:
                self._tokenizer = load_tokenizer(self._folder)
                self._tokenizer.enable_truncation(self._max_tokens)
            return self._tokenizer

    def _loaded_session(self) -> Any:
        with self._loading:
            if self._session is None:
                file = self._folder / "model.onnx"
                if not file.is_file():
                    raise MissingModelFileError(
                        f"'{file}' is not on this machine; run `causeway models pull`"
                    )
                onnxruntime = seams.library("onnxruntime")
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = 1
                options.log_severity_level = 3
                self._session = onnxruntime.InferenceSession(
                    str(file), options, providers=["CPUExecutionProvider"]
                )
            return self._session
