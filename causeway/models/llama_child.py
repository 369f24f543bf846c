"""The child process that holds a local chat model: llama.cpp's server, on a free port of the loopback.

Run as ``python -m causeway.models.llama_child``. The first line of stdin is its configuration (`LlamaConfig`'s JSON);
stdout answers with one line, the server's address, once the model is loaded. It ends when its stdin closes, so it
never outlives the process that started it, however that one died. `causeway.models.llama_process` is the other end.
"""

from __future__ import annotations

import fcntl
import os
import select
from typing import Any

import msgspec

_END_OF_LINE = b"\n"
_PROMPT_CACHE_MIB = 256
_PING_S = 10


class LlamaConfig(msgspec.Struct, frozen=True):
    """What the child needs to know.

    Attributes:
        threads: For writing, which waits for memory more than for cores.
        prompt_threads: For reading prompts, which is pure arithmetic.
        idle_s: The weights leave memory after this long without a request; 0 never.
        adapters: Files of adapters; a request names one by its number here, and without one there is none at work.
    """

    model: str
    gguf: str
    api_key: str
    threads: int
    prompt_threads: int
    context_tokens: int
    parallel: int
    idle_s: int
    adapters: tuple[str, ...] = ()


def main() -> None:
    """Serve until stdin closes."""
    config = msgspec.json.decode(_first_line(), type=LlamaConfig)
    _die_with_parent()
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints goes to stderr, which is kept
    _server, address = _start(config)  # it serves as long as it is held
    os.write(answers, address.encode() + _END_OF_LINE)
    os.read(0, 1)
    os._exit(0)  # at once: there is nothing to save, and the server's own shutdown waits for its clients


def _first_line() -> bytes:
    line = b""
    while not line.endswith(_END_OF_LINE):
        byte = os.read(0, 1)
        if not byte:
            raise SystemExit(1)  # the parent has gone
        line += byte
    return line


def _die_with_parent() -> None:
    """Have the kernel end this process when stdin closes.

    Waiting for the end of stdin is not enough: loading keeps Python's lock for seconds. SIGIO, sent for a closed
    pipe in asynchronous mode, ends a process that has no handler for it.
    """
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it closed before the kernel was asked: no signal will come
        raise SystemExit(1)


def _start(config: LlamaConfig) -> tuple[object, str]:
    # Here and not above: the parent, who imports `LlamaConfig`, must not load 100 MB of library.
    import xllamacpp  # type: ignore[import-untyped]  # it has no stubs  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = config.gguf
    params.model_alias = {config.model}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config.api_key]
    params.cors_origins = ""
    params.ui = False
    params.fit_params = False  # take the context that is asked for, or fail
    params.verbosity = 1
    params.n_ctx = config.context_tokens
    params.n_parallel = config.parallel
    params.n_threads_http = config.parallel + 32  # an open connection occupies one
    params.sse_ping_interval = _PING_S  # so that silence means death, even while a long prompt is read
    params.sleep_idle_seconds = config.idle_s or -1
    params.cache_ram_mib = _PROMPT_CACHE_MIB  # the default is 8 GB
    params.lora_adapters = [_adapter(xllamacpp.CommonAdapterLoraInfo(), file) for file in config.adapters]
    for cpu, threads in (
        (params.cpuparams, config.threads),
        (params.cpuparams_batch, config.prompt_threads),
    ):
        cpu.n_threads = threads
        cpu.poll = 0
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:  # "check the input params": the library has written the cause to stderr
        raise SystemExit(1) from None
    return server, str(server.listening_address)


def _adapter(info: Any, file: str) -> object:
    info.path, info.scale = file, 0.0  # at work only where a request says so
    return info


if __name__ == "__main__":
    main()
