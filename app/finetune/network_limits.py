"""What a network may cost. A file of a few kilobytes can describe a DSR network that takes gigabytes and minutes for
one face: its layout, and the pixels that it makes of an image, are bounded wherever one is trained, evaluated or used.

EdgeFace has no limits here: only the layouts of its five variants are accepted, and its input has 112 x 112 pixels.
"""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.architectures import DsrLayout
from app.finetune.weights_errors import WeightsTooLarge

MOST_CHANNELS = 256
MOST_BLOCKS = 64
MOST_FACTORS = 4
LARGEST_FACTOR = 8
MOST_ENLARGEMENT = 64
"""Factors multiplied."""
LONGEST_SIDE = 2048
"""Pixels of the enlarged image."""
MOST_VALUES = 2**27
"""Channels times pixels of the enlarged image: a map of 512 MiB in float32, of which about four live at once."""
MOST_PRODUCTS = 2**38
"""Multiplications for one image: seconds on a CPU."""


def layout_problem(layout: DsrLayout) -> str | None:
    """Return which limit the layout exceeds, in words, None if none."""
    if layout.channels > MOST_CHANNELS:
        return f"it has {layout.channels:,} channels; {MOST_CHANNELS} is the most"
    if layout.blocks > MOST_BLOCKS:
        return f"it has {layout.blocks:,} residual blocks; {MOST_BLOCKS} is the most"
    if len(layout.factors) > MOST_FACTORS:
        return f"it has {len(layout.factors):,} upsampling factors; {MOST_FACTORS} is the most"
    if layout.factors and not 1 <= min(layout.factors) <= max(layout.factors) <= LARGEST_FACTOR:
        return f"it has the upsampling factors {_times(layout)}; each is 1 to {LARGEST_FACTOR}"
    if layout.enlargement > MOST_ENLARGEMENT:
        return f"its factors {_times(layout)} enlarge {layout.enlargement:,} times; {MOST_ENLARGEMENT} is the most"
    return None


def enlargement_problem(layout: DsrLayout, width: int, height: int) -> str | None:
    """Return why the network must not enlarge an image of this size in pixels, in words, None if it may."""
    wide, high = width * layout.enlargement, height * layout.enlargement
    made = f"it enlarges an image of {width:,} x {height:,} px to {wide:,} x {high:,} px"
    if max(wide, high) > LONGEST_SIDE:
        return f"{made}; {LONGEST_SIDE:,} px is the longest side"
    if (values := layout.channels * wide * high) > MOST_VALUES:
        return f"{made} with {layout.channels} channels, {values:,} values; {MOST_VALUES:,} is the most"
    if (products := products_for(layout, width, height)) > MOST_PRODUCTS:
        return f"{made} by {products:,} multiplications; {MOST_PRODUCTS:,} is the most"
    return None


def refuse_too_large(layout: DsrLayout, sides: Sequence[int], path: Path | str) -> None:
    """Raise WeightsTooLarge, which names the weights `path`, unless the network may enlarge square images with these
    sides in pixels."""
    for side in sides:
        if (problem := enlargement_problem(layout, side, side)) is not None:
            raise WeightsTooLarge(path, problem)


def products_for(layout: DsrLayout, width: int, height: int) -> int:
    """Multiplications of the network's convolutions for one image of this size in pixels."""
    pixels, channels = width * height, layout.channels
    products = pixels * 9 * channels * (3 + 2 * layout.blocks * channels)
    for factor in layout.factors:
        products += pixels * 9 * channels**2 * factor**2
        pixels *= factor**2
    return products + pixels * 9 * channels * 3


def _times(layout: DsrLayout) -> str:
    return "x".join(map(str, layout.factors))
