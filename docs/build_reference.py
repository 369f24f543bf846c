"""Writes the pages that are made from the code: settings, commands, errors and the source tree.

``python docs/build_reference.py`` writes them; with ``--check`` it writes nothing and fails when one is stale.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from causeway import errors
from causeway.cli.app import cli
from causeway.settings import Section, Settings

ROOT = Path(__file__).resolve().parent.parent
TREE_BEGIN, TREE_END = "<!-- tree: made by docs/build_reference.py -->\n", "<!-- end of tree -->\n"
GENERATED = "<!-- Made by docs/build_reference.py from the code; edit the code. -->\n\n"


def main() -> int:
    """Write the pages, or say which are stale."""
    pages = {
        ROOT / "docs/reference/settings.md": settings_page(),
        ROOT / "docs/reference/commands.md": commands_page(),
        ROOT / "docs/reference/errors.md": errors_page(),
        ROOT / "docs/architecture.md": architecture_page(),
    }
    stale = [page for page, text in pages.items() if not page.exists() or page.read_text() != text]
    if "--check" in sys.argv:
        for page in stale:
            print(f"stale: {page.relative_to(ROOT)}; run 'make docs'")
        return len(stale)
    for page in stale:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(pages[page])
        print(f"wrote {page.relative_to(ROOT)}")
    return 0


# --- settings ----------------------------------------------------------------------------------------


def settings_page() -> str:
    """Every setting with its environment variable, default and meaning."""
    intro = (
        "# Settings\n\n"
        "Defaults, then `causeway.toml`, then the environment: later wins. An unknown key is an error. "
        "`causeway doctor` prints the merged settings and where each came from.\n"
    )
    parts = [GENERATED + intro]
    for name, field in Settings.model_fields.items():
        section, prefix = _section(field, name)
        parts.append(
            f"\n## {prefix}\n\n{inspect.getdoc(section)}\n\n| key | environment | default | meaning |\n|---|---|---|---|\n"
        )
        parts.extend(_setting_row(prefix, key, entry) for key, entry in section.model_fields.items())
    return "".join(parts)


def _section(field: FieldInfo, name: str) -> tuple[type[BaseModel], str]:
    if get_origin(field.annotation) is dict:
        return get_args(field.annotation)[1], f"{name}.NAME"
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, Section)
    return field.annotation, name


def _setting_row(prefix: str, key: str, field: FieldInfo) -> str:
    variable = f"CAUSEWAY_{prefix.upper().replace('.', '__')}__{key.upper()}"
    return f"| `{key}` | `{variable}` | {_default(field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = str(value).replace(str(Path.home()), "~")
    return f"`{value}`" if value not in ("", [], {}) else "(empty)"


# --- commands ----------------------------------------------------------------------------------------


def commands_page() -> str:
    """The help text of every command."""
    parts = [
        GENERATED
        + "# Commands\n\nExit codes: 0 done, 1 failed, 2 wrong usage. With `--json` stdout is one JSON document.\n"
    ]
    for name, command in _walk(cli, "causeway"):
        context = click.Context(command, info_name=name, max_content_width=100, terminal_width=100)
        parts.append(f"\n## `{name}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "".join(parts)


def _walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _walk(command.commands[child], f"{name} {child}")


# --- errors ------------------------------------------------------------------------------------------


def errors_page() -> str:
    """Every error: its code, HTTP status and whether to try again."""
    parts = [
        GENERATED + "# Errors\n\n"
        "`/api` answers with problem JSON, `/v1` in the vendor's own shape; both carry the code. "
        "A code never changes its meaning.\n\n| code | HTTP | try again | raised when |\n|---|---|---|---|\n"
    ]
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.CausewayError)
    ]
    for kind in sorted(kinds, key=lambda kind: (kind.http_status, kind.code, kind.__name__)):
        again = "yes" if kind.retryable else "no"
        meaning = (inspect.getdoc(kind) or "").splitlines()[0]
        parts.append(f"| `{kind.code}` | {kind.http_status} | {again} | {meaning} |\n")
    return "".join(parts)


# --- architecture ------------------------------------------------------------------------------------


def architecture_page() -> str:
    """``docs/architecture.md`` with its source tree made anew from the files."""
    page = (ROOT / "docs/architecture.md").read_text()
    before, _, rest = page.partition(TREE_BEGIN)
    _, _, after = rest.partition(TREE_END)
    return f"{before}{TREE_BEGIN}\n```text\n{source_tree()}```\n\n{TREE_END}{after}"


def source_tree() -> str:
    """The package's files, each with the first sentence of its docstring."""
    return "causeway/\n" + "".join(_tree_lines(ROOT / "causeway", "  "))


def _tree_lines(folder: Path, indent: str) -> Iterator[str]:
    entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    for entry in entries:
        if entry.is_dir() and (entry / "__init__.py").exists():
            yield f"{indent}{entry.name + '/':<{36 - len(indent)}} {_first_sentence(entry / '__init__.py')}\n"
            yield from _tree_lines(entry, indent + "  ")
        elif entry.suffix == ".py" and entry.name != "__init__.py":
            yield f"{indent}{entry.name:<{36 - len(indent)}} {_first_sentence(entry)}\n"


def _first_sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return paragraph.replace("``", "")


if __name__ == "__main__":
    sys.exit(main())
