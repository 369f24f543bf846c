"""Starts, finds, restarts and stops the child process that holds a local chat model.

One model is in memory once: the process that starts a child leaves its address in ``RUN_DIR/llama-<model>.json``
(readable by its user alone), and other Causeway processes of the same data folder use that child while it lives.
The child itself is `causeway.models.llama_child`; talking to it is `causeway.models.local_chat`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from causeway.contracts.clock import Clock
from causeway.errors import MissingModelFileError, ModelUnavailableError
from causeway.models.catalog import ModelCard
from causeway.models.cores import usable_cores
from causeway.models.llama_child import LlamaConfig
from causeway.seams import deferred
from causeway.settings import ModelSettings, child_environment

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = deferred("aiohttp")

log = logging.getLogger(__name__)

_PROBE_TIMEOUT_S = 5.0
_DEATH_TIMEOUT_S = 1.0
_STOP_TIMEOUT_S = 5.0
_LONGEST_BACK_OFF_S = 60.0
_STEADY_AFTER_S = 60.0
_CAUSE_LINES = 2
_LOG_PREFIX = re.compile(r"^[\d.]+ [A-Z] ")


class LlamaEndpoint(msgspec.Struct, frozen=True):
    """Where a child listens; what the state file holds. ``sha256`` is that of the weights, and of the adapters after it."""

    address: str
    api_key: str
    pid: int
    sha256: str


class LlamaProcess:
    """One local chat model, started when it is first needed.

    Args:
        card: The model.
        gguf: Its weights.
        settings: Threads, context, slots, idle time.
        run_dir: Where the child's address and its complaints are kept.
        clock: Measures the back-off.
    """

    def __init__(
        self, card: ModelCard, gguf: Path, settings: ModelSettings, *, run_dir: Path, clock: Clock
    ) -> None:
        self._card = card
        self._sha256 = "+".join([card.weights.sha256, *(adapter.sha256 for adapter in card.adapters)])
        self._gguf = gguf
        self._settings = settings
        self._state_file = run_dir / f"llama-{card.id}.json"
        self._stderr_file = run_dir / f"llama-{card.id}.stderr"
        self._turn = asyncio.Lock()
        self._back_off = _BackOff(clock)
        self._child: asyncio.subprocess.Process | None = None
        self._endpoint: LlamaEndpoint | None = None

    async def ready(self) -> LlamaEndpoint:
        """Where the model answers; finds or starts the child when there is none.

        Raises:
            MissingModelFileError: The weights are not on this machine.
            ModelUnavailableError: The child cannot be started; the message says why.
        """
        async with self._turn:
            self._notice_death()
            if self._endpoint is None:
                self._endpoint = await self._find() or await self._start()
            return self._endpoint

    async def give_up(self, endpoint: LlamaEndpoint) -> None:
        """Stop using a child if it really does not answer; the next `ready` finds or starts another."""
        async with self._turn:
            if endpoint != self._endpoint or await _answers(endpoint):
                return
            if self._child is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DEATH_TIMEOUT_S):
                        await self._child.wait()
            self._notice_death()
            if self._endpoint is not None:
                log.warning(
                    "a local model does not answer", extra={"model": self._card.id, "pid": endpoint.pid}
                )
                await self._stop()

    async def close(self) -> None:
        """Stop the child if this process started it."""
        async with self._turn:
            await self._stop()

    def _notice_death(self) -> None:
        if self._child is None or self._child.returncode is None:
            return
        cause = self._explain_exit(self._child.returncode)
        log.warning("a local model died", extra={"model": self._card.id, "cause": cause})
        self._child = self._endpoint = None
        self._back_off.failed(cause)

    async def _find(self) -> LlamaEndpoint | None:
        """Another process's child, if it holds this model and answers."""
        try:
            endpoint = msgspec.json.decode(self._state_file.read_bytes(), type=LlamaEndpoint)
        except (OSError, msgspec.DecodeError):
            return None
        if endpoint.sha256 != self._sha256 or not await _answers(endpoint):
            return None
        log.info("using a local model that is running", extra={"model": self._card.id, "pid": endpoint.pid})
        return endpoint

    async def _start(self) -> LlamaEndpoint:
        if not self._gguf.is_file():
            raise MissingModelFileError(
                f"the model '{self._card.id}' is not on this machine; run `causeway models pull {self._card.id}`"
            )
        self._back_off.check(self._card.id)
        log.info("starting a local model", extra={"model": self._card.id})
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                self._child = await self._spawn()
                endpoint = await self._handshake(self._child)
        except TimeoutError as exc:
            raise await self._failed_start(
                f"it did not answer within {self._settings.start_timeout_s:.0f} s (models.start_timeout_s)"
            ) from exc
        except _EndedError as exc:
            raise await self._failed_start(str(exc)) from exc
        except BaseException:  # cancelled: whoever asked first has gone
            await self._stop()
            raise
        self._back_off.started()
        _write_private(self._state_file, msgspec.json.encode(endpoint))
        return endpoint

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._stderr_file.parent.mkdir(parents=True, exist_ok=True)
        with self._stderr_file.open("wb") as stderr:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "causeway.models.llama_child"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=child_environment(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0"),
                start_new_session=True,  # Ctrl-C reaches the parent, which stops the child when it is ready to
            )

    async def _handshake(self, child: asyncio.subprocess.Process) -> LlamaEndpoint:
        """Send the configuration; the address comes when the model is loaded."""
        api_key = secrets.token_urlsafe(32)
        cores = usable_cores()
        config = LlamaConfig(
            model=self._card.id,
            gguf=str(self._gguf),
            api_key=api_key,
            threads=self._settings.threads or max(1, cores - 1),
            prompt_threads=self._settings.threads or cores,
            context_tokens=self._settings.context_tokens,
            parallel=self._settings.parallel,
            idle_s=self._settings.idle_s,
            adapters=tuple(str(adapter.path) for adapter in self._card.adapters),
        )
        if child.stdin is None or child.stdout is None:
            raise _EndedError(f"process {child.pid} has no pipes")
        with contextlib.suppress(ConnectionError):  # it died at once: stdout ends, and the log says why
            child.stdin.write(msgspec.json.encode(config) + b"\n")
            await child.stdin.drain()
        address = (await child.stdout.readline()).decode().strip()
        if not address:
            raise _EndedError(self._explain_exit(await child.wait()))
        endpoint = LlamaEndpoint(address, api_key, child.pid, self._sha256)
        if not await _answers(endpoint):
            raise _EndedError(f"it does not answer at {address}")
        return endpoint

    async def _failed_start(self, cause: str) -> ModelUnavailableError:
        await self._stop()
        self._back_off.failed(cause)
        log.warning("a local model did not start", extra={"model": self._card.id, "cause": cause})
        return ModelUnavailableError(f"the local model '{self._card.id}' did not start: {cause}")

    async def _stop(self) -> None:
        child, self._child, self._endpoint = self._child, None, None
        if child is None:
            return
        self._state_file.unlink(missing_ok=True)
        if child.stdin is not None:
            child.stdin.close()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    def _explain_exit(self, returncode: int) -> str:
        said = self._stderr_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        # When loading fails the library's first complaint is the cause and the others follow from it.
        lines = said[-_CAUSE_LINES:] if self._endpoint else said[:_CAUSE_LINES]
        if returncode < 0:
            how = f"ended by {signal.Signals(-returncode).name}"
            how += " (out of memory?)" if returncode == -signal.SIGKILL else ""
        else:
            how = f"ended with code {returncode}"
        reason = " / ".join(_LOG_PREFIX.sub("", line) for line in lines)
        return f"{how}: {reason} (all of it in '{self._stderr_file}')" if reason else how


class _EndedError(Exception):
    """The child ended before it was ready; the message says how."""


class _BackOff:
    """Spaces out the starts of a child that keeps failing: the second at once, then 2, 4, ... 60 seconds apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._started_at = 0.0
        self._not_before = 0.0
        self._cause = ""

    def started(self) -> None:
        """The child is ready."""
        self._started_at = self._clock.monotonic()

    def failed(self, cause: str) -> None:
        """The child did not start, or died."""
        now = self._clock.monotonic()
        was_steady = self._started_at and now - self._started_at > _STEADY_AFTER_S
        self._failures = 1 if was_steady else self._failures + 1
        self._started_at = 0.0
        self._cause = cause
        self._not_before = now + (
            0.0 if self._failures == 1 else min(2.0 ** (self._failures - 1), _LONGEST_BACK_OFF_S)
        )

    def check(self, model: str) -> None:
        """Pass, or refuse to start again so soon.

        Raises:
            ModelUnavailableError: With the cause and the time to wait.
        """
        wait_s = self._not_before - self._clock.monotonic()
        if wait_s > 0:
            raise ModelUnavailableError(
                f"the local model '{model}' keeps failing ({self._cause}); it is started again in {wait_s:.0f} s"
            )


async def _answers(endpoint: LlamaEndpoint) -> bool:
    """Whether a child that knows the key listens there; unlike ``/health``, the list of models asks for it."""
    timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(f"{endpoint.address}/v1/models") as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False


def _write_private(file: Path, content: bytes) -> None:
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(file)
