"""The child process of `causeway.web.page_images`: ``python -m causeway.web.draw_page FILE PAGE``, PNG on stdout.

It limits its own memory and time before it opens the file, and imports nothing of Causeway.
"""

from __future__ import annotations

import io
import resource
import sys

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types

WIDTH = 1100
"""Pixels: sharp in the side panel of a screen with two pixels a point."""
NO_SUCH_PAGE = 3

_MOST_HEIGHT = 4 * WIDTH
_MEMORY_BYTES = 1_000_000_000
_CPU_S = 15


def main() -> int:
    """Draw the page that the arguments name."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, number = sys.argv[1], int(sys.argv[2])
    document = pdfium.PdfDocument(path)
    if not 1 <= number <= len(document):
        return NO_SUCH_PAGE
    page = document[number - 1]
    width, height = page.get_size()
    scale = min(WIDTH / width, _MOST_HEIGHT / height)
    image = io.BytesIO()
    page.render(scale=scale).to_pil().save(image, "PNG", optimize=False, compress_level=6)
    sys.stdout.buffer.write(image.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
