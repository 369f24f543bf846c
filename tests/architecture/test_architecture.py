"""The promises about the code itself: pages made from it are fresh, importing it is cheap, fences hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "causeway").rglob("*.py"))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_generated_pages_agree_with_the_code() -> None:
    checked = _run("docs/build_reference.py", "--check")
    assert checked.returncode == 0, checked.stdout


def test_the_tree_page_names_every_source_file() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    named = {match[1] for match in re.finditer(r"^\s+(\w+\.py)\s+\S", page, re.MULTILINE)}
    assert {source.name for source in SOURCES if source.name != "__init__.py"} == named


def test_pages_link_only_to_what_is_there() -> None:
    checked = _run("docs/check_links.py")
    assert checked.returncode == 0, checked.stdout


def test_importing_the_package_loads_nothing_else() -> None:
    loaded = _run("-c", "import sys, causeway; print([m for m in sys.modules if m.startswith('causeway.')])")
    assert loaded.stdout.strip() == "[]"


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = [
        "sqlalchemy",
        "fastapi",
        "pydantic",
        "numpy",
        "onnxruntime",
        "opentelemetry",
        "dbos",
        "rich",
        "aiohttp",
    ]
    loaded = _run("-c", f"import sys, causeway.cli.app; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.stdout.strip() == "[]"


def test_only_the_durable_file_knows_dbos() -> None:
    knowing = [
        source.relative_to(ROOT).as_posix()
        for source in SOURCES
        if re.search(r"^\s*(?:import|from) dbos\b", source.read_text(), re.MULTILINE)
    ]
    assert knowing == ["causeway/storage/durable.py"]


def test_no_file_grows_past_600_lines() -> None:
    long = {source.name: count for source in SOURCES if (count := len(source.read_text().splitlines())) > 600}
    assert long == {}


def test_fragments_of_changes_are_well_formed() -> None:
    wrong = {}
    for file in sorted((ROOT / "changes").iterdir()):
        text = file.read_text()
        if file.name == "README.md":
            continue
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed|removed|security)\.md", file.name):
            wrong[file.name] = "is not named <topic>.<kind>.md"
        elif not re.fullmatch(r"[^#\s].{20,600}[.]\n", text):
            wrong[file.name] = "is not one paragraph of whole sentences on one line, at most 600 characters"
    assert wrong == {}


def test_nothing_names_a_package_index_or_a_machine_path() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    forbidden = re.compile(
        r"files\.pythonhosted|pypi\.org|registry\.npmjs|deb\.debian|--index-url=|/root/|/home/\w"
    )
    naming = [
        name
        for name in listed.stdout.splitlines()
        if Path(name).suffix in {".py", ".md", ".toml", ".txt", ".sh", ".html", ".json", ""}
        and (ROOT / name).is_file()
        and name != "tests/architecture/test_architecture.py"
        and forbidden.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert naming == []


def test_a_serving_process_starts_without_what_only_local_models_and_workers_need() -> None:
    heavy = ["onnxruntime", "tokenizers", "semantic_text_splitter", "pypdfium2", "xllamacpp", "xberg", "PIL"]
    heavy += ["numpy", "aiohttp", "selectolax", "markdown_it", "dbos", "alembic", "sqlglot", "vl_convert"]
    loaded = _run(
        "-c",
        "import sys, causeway.wiring, causeway.web.app, causeway.web.bounded_http, causeway.cli.up; "
        "from causeway.gateway.auto_route import AutoRoute; AutoRoute.packaged(); "
        f"print([name for name in {heavy} if name in sys.modules])",
    )
    assert loaded.stdout.strip() == "[]"
