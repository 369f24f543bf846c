"""Makes a picture of a page fit to be read: even light, upright, straight, and with the lines drawn on it known.

Works on grey pictures with Pillow and numpy alone. Straightening finds the angle at which the lines of text give the
sharpest profile (Postl, 1986); light is evened by dividing by the paper's own brightness, so that a photo's shadow
or a yellowed page does not hide letters from a threshold that is one for the whole page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from causeway.knowledge.ingest.pdf_shapes import Box, Ruling

DARK = 150
"""Below this a pixel of an evened picture is ink."""

_INK_PERCENTILE = 0.2
_FAINTEST_INK, _FADED_INK, _PRINTED_INK = 40.0, 150.0, 215.0
"""How much darker than paper: less is noise, less than the second is faded, and is made as dark as the third."""
_SMOOTHING_PX = 1.0
"""What makes faded ink dark makes the paper's grain dark, too."""
_SHEET_PX = 48
_MOST_SKEW_DEGREES = 12.0
_LEAST_SKEW_DEGREES = 0.25
_PROFILE_PX = 900
_MOST_INK = 60_000
_TILE_PX = 32
_MOST_TILES = 0.8
_DRIFT_PX = 2
_REACH_PX = 4
_SPECK_PX = 3
_FAINTEST = 24.0
_NOISES = 6.0
_LONGEST_GAP_PT = 9.0
_THICKEST_PT = 4.5
_LINE_PX = (12, 90)
_INKED_ROW, _FULL_ROW = 0.004, 0.06
_SURE_LINES = 8
_CLEARLY, _CLEARLY_LEVEL = 1.3, 2.5


@dataclass(frozen=True, slots=True)
class Picture:
    """A grey picture of a page.

    Attributes:
        dpi: Pixels an inch, as the page is printed.
        skew_degrees: How far it was turned counter-clockwise to make it straight.
    """

    image: Image.Image
    dpi: float
    skew_degrees: float = 0.0

    @property
    def points(self) -> float:
        """Points a pixel."""
        return 72.0 / self.dpi


def evened(image: Image.Image) -> Image.Image:
    """The picture as ink on white paper, whatever the light was."""
    width, height = image.size
    scale = max(width, height) / _SHEET_PX / 4
    small = image.resize(
        (max(1, round(width / scale)), max(1, round(height / scale))), Image.Resampling.BOX, reducing_gap=2
    )
    paper = small.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(3))
    # One array for all steps: making one for each takes longer than the arithmetic.
    light = np.asarray(paper.resize(image.size, Image.Resampling.BILINEAR)).astype(np.float32)
    np.maximum(light, 24.0, out=light)
    np.divide(255.0, light, out=light)
    np.multiply(light, np.asarray(image), out=light)
    np.minimum(light, 255.0, out=light)
    contrast = 255.0 - float(np.percentile(light[::4, ::4], _INK_PERCENTILE))
    if not _FAINTEST_INK < contrast < _FADED_INK:
        return Image.fromarray(light.astype(np.uint8))
    np.subtract(light, 255.0, out=light)
    np.multiply(light, _PRINTED_INK / contrast, out=light)
    np.add(light, 255.0, out=light)
    np.maximum(light, 0.0, out=light)
    faded = Image.fromarray(light.astype(np.uint8))
    return faded.filter(ImageFilter.GaussianBlur(_SMOOTHING_PX))


def straightened(picture: Picture) -> Picture:
    """The picture turned by the few degrees that make its lines level."""
    angle = skew_of(picture.image)
    if abs(angle) < _LEAST_SKEW_DEGREES:
        return picture
    return Picture(_rotated(picture.image, angle), picture.dpi, angle)


def _rotated(image: Image.Image, degrees: float) -> Image.Image:
    """The picture turned counter-clockwise about its middle, on white.

    Only where something stands: most of a page is paper, and finding each pixel's sixteen neighbours is what takes long.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = image.width / 2, image.height / 2
    left, top = x - cos * x + sin * y, y - sin * x - cos * y  # where the result's corner was before
    light = np.asarray(image)
    tiles = _tiles(light, 255 - _faintest(light))
    if tiles.mean() > _MOST_TILES:
        return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    turned = Image.new("L", image.size, 255)
    rows, columns = np.indices(tiles.shape) * _TILE_PX + _TILE_PX / 2
    from_rows = (top + sin * columns + cos * rows) // _TILE_PX
    from_columns = (left + cos * columns - sin * rows) // _TILE_PX
    last_row, last_column = tiles.shape[0] - 1, tiles.shape[1] - 1
    places = np.clip(from_rows, 0, last_row).astype(int), np.clip(from_columns, 0, last_column).astype(int)
    for row, held in enumerate(tiles[places]):
        inked = np.flatnonzero(held)
        if len(inked):
            x0, x1 = int(inked[0]) * _TILE_PX, min((int(inked[-1]) + 1) * _TILE_PX, image.width)
            y0, y1 = row * _TILE_PX, min((row + 1) * _TILE_PX, image.height)
            corner = left + cos * x0 - sin * y0, top + sin * x0 + cos * y0
            matrix = (cos, -sin, corner[0], sin, cos, corner[1])
            size = (x1 - x0, y1 - y0)
            strip = image.transform(
                size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=255
            )
            turned.paste(strip, (x0, y0))
    return turned


def _tiles(light: NDArray[np.uint8], paper: float) -> NDArray[np.bool_]:
    """Which squares of the picture hold anything darker than ``paper``, or lie beside one that does."""
    height, width = (-(-side // _TILE_PX) for side in light.shape)
    darkest = np.full((height, width), 255, np.uint8)
    for row in range(height):
        columns = np.full(width * _TILE_PX, 255, np.uint8)
        columns[: light.shape[1]] = light[row * _TILE_PX : (row + 1) * _TILE_PX].min(axis=0)
        darkest[row] = columns.reshape(width, _TILE_PX).min(axis=1)
    held = np.pad(darkest < paper, 1)
    rows = held[:-2] | held[1:-1] | held[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def skew_of(image: Image.Image) -> float:
    """Degrees by which the picture has to be turned counter-clockwise for its lines to be level."""
    scale = _PROFILE_PX / max(image.size)
    small = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX
    )
    around = small.filter(ImageFilter.BoxBlur(8))
    ink = np.asarray(small, dtype=np.int16) < np.asarray(around, dtype=np.int16) - 18
    ys, xs = np.nonzero(ink)
    if len(ys) < 200:
        return 0.0
    if len(ys) > _MOST_INK:
        step = len(ys) // _MOST_INK + 1
        ys, xs = ys[::step], xs[::step]
    best = _sharpest(ys, xs, np.arange(-_MOST_SKEW_DEGREES, _MOST_SKEW_DEGREES + 0.1, 0.5))
    best = _sharpest(ys, xs, best + np.arange(-0.5, 0.51, 0.1))
    return float(_sharpest(ys, xs, best + np.arange(-0.1, 0.11, 0.02)))


def _sharpest(ys: NDArray[np.intp], xs: NDArray[np.intp], angles: NDArray[np.float64]) -> float:
    scores = []
    for angle in angles:
        # A line that falls to the right by `angle` is levelled by turning the picture counter-clockwise.
        levels = ys - xs * math.tan(math.radians(angle))
        counts = np.bincount((levels - levels.min()).astype(np.intp))
        scores.append(float(np.square(np.diff(counts.astype(np.float64))).sum()))
    return float(angles[int(np.argmax(scores))])


# --- which way it lies -------------------------------------------------------------------------------


def turn_wanted(image: Image.Image) -> int:
    """Quarters of a turn by which a straightened page looks turned: 2 when upside down, 1 when sideways, 0 when not, or not surely.

    More letters rise above a line than hang below it: capitals, digits, and b, d, f, h, k, l and t beside g, j, p, q and y
    (Caprari, 2000). It is told in a hundredth of the time that a page takes which is read the wrong way round.
    """
    ink = np.asarray(image) < DARK
    lines, across = _lines(ink), _lines(ink.T)
    full = [counts for counts in across if counts.max() > _FULL_ROW * ink.shape[0]]
    if len(full) >= _SURE_LINES and _strength(full) > _CLEARLY_LEVEL * _strength(lines):
        return 1
    rising = hanging = 0
    for counts in lines:
        core = np.flatnonzero(counts > 0.5 * counts.max())
        above, below = int(counts[: core[0]].sum()), int(counts[core[-1] + 1 :].sum())
        rising += above > _CLEARLY * below
        hanging += below > _CLEARLY * above
    return 2 if hanging >= _SURE_LINES and hanging > 3 * rising else 0


def _strength(lines: Iterable[NDArray[np.intp]]) -> int:
    """How much ink stands on one level: a line of text has much of it at the height of its small letters."""
    return sum(int(counts.max()) for counts in lines)


def _lines(ink: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The rows of each line of text, as how many of their pixels are ink."""
    counts = np.count_nonzero(ink, axis=1)
    inked = np.pad(counts > _INKED_ROW * ink.shape[1], 1)
    ends = np.flatnonzero(inked[1:] != inked[:-1])
    low, high = _LINE_PX
    return [
        counts[start:end]
        for start, end in zip(ends[::2], ends[1::2], strict=True)
        if low <= end - start <= high
    ]


# --- lines drawn on the page -------------------------------------------------------------------------


def rulings_of(picture: Picture) -> tuple[Ruling, ...]:
    """The long straight lines on a straightened picture, in points."""
    light = np.asarray(picture.image)
    points = picture.points
    faintest = _faintest(light)
    across = _strokes(_ridges(light, faintest), round(40 / points), points)
    turned = np.ascontiguousarray(light.T)
    down = _strokes(_ridges(turned, faintest), round(22 / points), points)
    return (
        *(Ruling(Box(x0 * points, y0 * points, x1 * points, y1 * points), True) for y0, y1, x0, x1 in across),
        *(Ruling(Box(x0 * points, y0 * points, x1 * points, y1 * points), False) for x0, x1, y0, y1 in down),
    )


def _faintest(light: NDArray[np.uint8]) -> float:
    """How much darker than paper something is that is no noise: the usual difference of a pixel from the next, many times."""
    sample = light[::7].astype(np.int16)
    return max(_FAINTEST, _NOISES * float(np.abs(np.diff(sample, axis=1)).mean()))


def _ridges(light: NDArray[np.uint8], faintest: float) -> NDArray[np.bool_]:
    """Ink, and whatever is darker than the paper a little above and below it: the grey of a thin line."""
    ridges = light < DARK
    near = np.minimum(np.minimum(light[:-2], light[2:]), light[1:-1])[_REACH_PX - 1 : 1 - _REACH_PX]
    paper = np.minimum(light[: -2 * _REACH_PX], light[2 * _REACH_PX :])
    # In bytes, whose differences must not fall below nought.
    np.maximum(paper, near, out=paper)
    np.subtract(paper, near, out=paper)
    ridges[_REACH_PX:-_REACH_PX] |= paper > faintest
    return ridges


def _strokes(dark: NDArray[np.bool_], shortest: int, points: float) -> list[tuple[float, float, int, int]]:
    """Thin level strokes as (top, bottom, left, right); a stroke may drift by a few pixels along its way."""
    padded = np.zeros((dark.shape[0], dark.shape[1] + 2), dtype=np.bool_)
    thick = padded[:, 1:-1]
    thick[:] = dark
    for shift in range(1, _DRIFT_PX):
        thick[shift:] |= dark[:-shift]
        thick[:-shift] |= dark[shift:]
    # Begins and ends of ink take turns in a row, and a row begins and ends on paper.
    rows, edges = np.divmod(np.flatnonzero(padded[:, 1:] != padded[:, :-1]), padded.shape[1] - 1)
    rows, starts, ends = rows[::2], edges[::2], edges[1::2]
    if not len(rows):
        return []
    # Specks of paper in a line are part of it.
    is_cut = (rows[1:] != rows[:-1]) | (starts[1:] - ends[:-1] > _SPECK_PX)
    rows, starts = rows[np.append(True, is_cut)], starts[np.append(True, is_cut)]
    ends = ends[np.append(is_cut, True)]
    is_long = ends - starts >= shortest
    strokes: list[_Stroke] = []
    open_strokes: list[_Stroke] = []
    for y, x0, x1 in zip(
        rows[is_long].tolist(), starts[is_long].tolist(), ends[is_long].tolist(), strict=True
    ):
        open_strokes = [stroke for stroke in open_strokes if y - stroke.bottom <= _DRIFT_PX]
        for stroke in open_strokes:
            if x0 <= stroke.right + 3 and stroke.left <= x1 + 3:
                stroke.add(y, x0, x1)
                break
        else:
            stroke = _Stroke(y, y, x0, x1, x1 - x0)
            strokes.append(stroke)
            open_strokes.append(stroke)
        if len(strokes) > 4000:
            return []  # a drawing or a photo, no form
    thickest = _THICKEST_PT / points + 2 * (_DRIFT_PX - 1)
    thin = [stroke for stroke in strokes if stroke.area / (stroke.right - stroke.left) <= thickest]
    return _mended(thin, round(_LONGEST_GAP_PT / points))


@dataclass(slots=True)
class _Stroke:
    top: int
    bottom: int
    left: int
    right: int
    area: int

    def add(self, y: int, x0: int, x1: int) -> None:
        self.bottom = max(self.bottom, y)
        self.left, self.right = min(self.left, x0), max(self.right, x1)
        self.area += x1 - x0

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def _mended(strokes: list[_Stroke], gap: int) -> list[tuple[float, float, int, int]]:
    """Strokes as lines, with those joined that a fax broke into pieces."""
    lines: list[_Stroke] = []
    for stroke in sorted(strokes, key=lambda stroke: stroke.left):
        for line in lines:
            is_level = line.top - 4 <= stroke.middle <= line.bottom + 4
            if is_level and -gap <= stroke.left - line.right <= gap:
                line.top, line.bottom = min(line.top, stroke.top), max(line.bottom, stroke.bottom)
                line.right = max(line.right, stroke.right)
                break
        else:
            lines.append(stroke)
    return [(line.top, line.bottom + 1, line.left, line.right) for line in lines]
