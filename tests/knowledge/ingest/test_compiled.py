import importlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from causeway.compiled import DIGEST, PACKAGE, PARTS, compiled, digest

ROOT = Path(__file__).parents[3]
READ = """
import pickle
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import causeway.compiled
causeway.compiled.PACKAGE = sys.argv[1]
from causeway.knowledge.ingest import parse_pdf, pdf_words
from causeway.knowledge.ingest.reading import Reading
print("plain" if pdf_words.__file__.endswith(".py") else "compiled")
for file in sorted(Path(sys.argv[2]).rglob("*.pdf")):
    if "scan" not in file.name:
        print([(block, block.places) for block in parse_pdf.parse_pdf(file.read_bytes(), Reading()).blocks])
        document = parse_pdf._open(file.read_bytes())
        pages = parse_pdf._seen(document, range(len(document)))
        assert pickle.loads(pickle.dumps(pages, pickle.HIGHEST_PROTOCOL)) == pages  # as a helper sends them
"""


@pytest.mark.parametrize("part", PARTS)
def test_what_was_compiled_of_other_sources_is_not_used(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / PACKAGE / part
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    look = compiled.__wrapped__  # what is remembered of this process stays as it is
    assert look(part) != folder
    (folder / DIGEST).write_text(digest(part))
    assert look(part) == folder
    (folder / DIGEST).write_text("of a source before it was edited")
    assert look(part) != folder


@pytest.mark.timeout(240)  # compiling takes 20 seconds of a core where it was not done by the installation
def test_compiled_and_plain_reader_give_the_same_blocks(tmp_path: Path) -> None:
    if compiled("reader") is None:
        _compile_into(tmp_path)
    plain, built = _blocks("no_such_package", tmp_path), _blocks(PACKAGE, tmp_path)
    assert (plain[0], built[0]) == ("plain", "compiled")
    assert len(plain) > 3
    assert plain[1:] == built[1:]


def _compile_into(folder: Path) -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if not shutil.which(compiler) or not Path(sysconfig.get_path("include"), "Python.h").is_file():
        pytest.skip("there is no C compiler, or Python's headers are missing")
    subprocess.run(
        [sys.executable, ROOT / "hatch_build.py", folder, "reader"], check=True, capture_output=True
    )


def _blocks(package: str, folder: Path) -> list[str]:
    """Which reader it was, then the blocks of each of the sample company's PDFs."""
    done = subprocess.run(
        [sys.executable, "-c", READ, package, ROOT / "samples" / "documents", ROOT, folder],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()
