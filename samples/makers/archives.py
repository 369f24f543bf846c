"""Give office files, which are zip archives, the same bytes on every run."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from pathlib import Path

ZIP_TIME = (2026, 1, 1, 0, 0, 0)


def freeze_archive(path: Path, moment: dt.datetime) -> None:
    """Rewrite an office file with fixed times, so that equal content gives equal bytes."""
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(path) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            member = zipfile.ZipInfo(name, ZIP_TIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
