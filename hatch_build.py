"""Compiles the busiest modules when Causeway is installed or a wheel is made of it; without a C compiler they stay Python.

Owns how; `causeway.compiled` says which modules, and when they are used. By hand, into a folder of the import path:

    python hatch_build.py FOLDER [PART]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
OPTIONS = ("--config-file=", "--cache-dir=/dev/null", "--ignore-missing-imports", "--follow-imports=skip")


class CompiledParts(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel, also to the one that an editable installation is made of."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it makes the wheel."""
        self._folder = Path(tempfile.mkdtemp(prefix="causeway-compiled-"))
        command = [sys.executable, __file__, str(self._folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this file
        if done.returncode:
            why = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            self.app.display_warning(f"not all is compiled, and what is not takes a fifth more time: {why}")
        made = {str(path): path.name for path in self._folder.iterdir()}
        if version == "editable":
            build_data["force_include_editable"] = self.build_config.get_force_include() | made
        elif made:
            build_data["force_include"] |= made
            build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        """Called by hatchling when the wheel is there."""
        shutil.rmtree(self._folder)


def compile_into(folder: Path, part: str) -> None:
    """Put a part's compiled modules, what they share, and the digest of their sources into a folder."""
    from mypyc.build import mypycify  # noqa: PLC0415 - only where there is something to compile
    from setuptools import Distribution  # type: ignore[import-untyped]  # noqa: PLC0415 - it ships no types; as above

    from causeway.compiled import DIGEST, PACKAGE, digest, sources  # noqa: PLC0415 - found by its caller

    with tempfile.TemporaryDirectory() as room:
        made_of = digest(part)
        files = [str(file.relative_to(ROOT)) for file in sources(part)]
        extensions = mypycify(
            [*OPTIONS, *files], group_name=f"causeway_{part}", target_dir=room, debug_level="0"
        )
        command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(Path(room, "lib")), room
        command.ensure_finalized()
        command.run()
        modules = Path(room, "lib", "causeway")
        (modules / DIGEST).write_text(made_of)
        package = folder / PACKAGE
        package.mkdir(parents=True, exist_ok=True)
        shutil.move(modules, package / part)
        for shared in Path(room, "lib").iterdir():
            shutil.move(shared, folder)


def compile_all(folder: Path) -> int:
    """Compile every part, side by side; how many failed."""
    from causeway.compiled import PARTS  # noqa: PLC0415 - found by its caller

    started = [subprocess.Popen([sys.executable, __file__, str(folder), part]) for part in PARTS]  # noqa: S603 - this file
    return sum([process.wait() != 0 for process in started])


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    into, *parts = sys.argv[1:]
    if not parts:
        sys.exit(compile_all(Path(into).resolve()))
    compile_into(Path(into).resolve(), *parts)
