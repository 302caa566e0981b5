"""What the pixels of an image show that no decoder objects to: nothing, hardly anything, or black and white only.

Black images come from values of another range than the file's type says, from faces cropped out of nothing, and from
cameras that saw none. The limits accuse no real face: of the 2604 faces of ORL, LFW and Yale, as they are and reduced
to 16, 12 and 8 px, the flattest spans 86 levels, and the most saturated has 35 % of its values at 0 or 255. A 12-bit
image that is read as one of 16 bits spans 15.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.finetune.counted import counted
from app.finetune.errors import name_some
from app.finetune.job_warning import JobWarning

PixelProblem = Literal["constant", "without_contrast", "saturated"]
"""`constant`: one colour. `without_contrast`: hardly any difference between dark and bright in any channel.
`saturated`: most values are black or white."""

PIXEL_PROBLEMS: tuple[PixelProblem, ...] = ("constant", "without_contrast", "saturated")

_CONSTANT_LEVELS = 2  # between darkest and brightest: rounding
_FEWEST_LEVELS = 32
_IGNORED = 0.01  # of the pixels, at each end
_MOST_SATURATED = 0.5

_IN_WORDS: dict[PixelProblem, str] = {
    "constant": "{shows} one colour only, as an empty or black image does",
    "without_contrast": f"{{spans}} less than {_FEWEST_LEVELS} of 256 levels, as black or washed-out images do",
    "saturated": f"{{has}} more than {_MOST_SATURATED:.0%} of {{its}} values at black or white",
}
_FORMS = {
    True: {"shows": "shows", "spans": "spans", "has": "has", "its": "its"},
    False: {"shows": "show", "spans": "span", "has": "have", "its": "their"},
}
"""By whether it is one image."""


def pixel_problem(image: Image.Image) -> PixelProblem | None:
    """What is wrong with an RGB image, the gravest problem alone; None for an image as others are."""
    levels = np.array(image.histogram()).reshape(-1, 256)  # of each channel
    if _span(levels, ignored=0.0) <= _CONSTANT_LEVELS:
        return "constant"
    if _span(levels, ignored=_IGNORED) < _FEWEST_LEVELS:
        return "without_contrast"
    return "saturated" if levels[:, [0, 255]].sum() > _MOST_SATURATED * levels.sum() else None


def _span(levels: npt.NDArray[np.int_], *, ignored: float) -> int:
    """The levels from the darkest to the brightest pixel of the channel with the most, without the share `ignored` of
    pixels at each end."""
    up_to = levels.cumsum(1)
    dark = (up_to > ignored * up_to[:, -1:]).argmax(1)
    bright = (up_to >= (1 - ignored) * up_to[:, -1:]).argmax(1)
    return int((bright - dark).max())


def pixel_warnings(name: str, problems: Mapping[Path, PixelProblem], images: int) -> Iterator[JobWarning]:
    """A warning for each kind of problem among the `images` of a split called `name`, with their number and names."""
    counts = Counter(problems.values())
    for problem in PIXEL_PROBLEMS:
        if counts[problem]:
            files = [f"{path.parent.name}/{path.name}" for path, its in problems.items() if its == problem]
            count = f"{counts[problem]} of {counted(images, f'{name} image')}"
            what = _IN_WORDS[problem].format_map(_FORMS[counts[problem] == 1])
            message = f"{count} {what} ({name_some(files)})"
            yield JobWarning(code=f"images_{problem}", message=message)
