"""Subject patterns: which part of an image's name is its subject.

A pattern is a name of NAMED_PATTERNS or a regular expression of RE2, which matches in linear time: no expression can
hang the service. It has to match the whole name of an image: the path relative to the folder of images, with `/`,
without suffix and without resolution mark (see app/finetune/photo_names.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import re2

from app.finetune.config import LONGEST_PATTERN
from app.finetune.dataset_errors import SubjectPatternInvalid

GUIDE_NAME = "guide"


@dataclass(frozen=True)
class NamedPattern:
    """`description` completes "the subject is ..."; `example` is a file that the expression matches."""

    expression: str
    description: str
    example: str


NAMED_PATTERNS: Mapping[str, NamedPattern] = MappingProxyType(
    {
        GUIDE_NAME: NamedPattern(r"([^_/]+)[^/]*", "the file name up to the first `_`", "007_01.png"),
        "folder": NamedPattern(r"([^/]+)/.+", "the first folder of the image's path", "Aaron/0001.png"),
        "lfw": NamedPattern(r"(?:.*/)?([^/]+)_\d+", "the file name up to its last `_` and number", "Aaron_A_0001.jpg"),
        "multipie": NamedPattern(
            r"(?:.*/)?(\d{3})_\d\d_\d\d_\d{3}_\d\d[^/]*", "the first number of a Multi-PIE name", "007_01_01_051_07.png"
        ),
        "casia": NamedPattern(
            r"(\d{7})[/_].+", "the seven digits of a CASIA-WebFace folder or file", "0000045/001.jpg"
        ),
        "scface": NamedPattern(
            r"(?:.*/)?(\d{3})_(?:cam|frontal|[LR]\d)[^/]*", "the first number of an SCface name", "001_cam1_1.jpg"
        ),
    }
)


@dataclass(frozen=True)
class SubjectPattern:
    """Finds the subject of an image by its name. Raises SubjectPatternInvalid if `text` is no pattern."""

    text: str

    def __post_init__(self) -> None:
        _compiled(self.text)

    def subject_of(self, name: str) -> str | None:
        """Return the subject of the image called `name` (see the module): the group `subject` of the expression, or
        its first group, or the whole match. None where the pattern does not match, or the group is empty."""
        found = _compiled(self.text).fullmatch(name)
        if found is None:
            return None
        named = found.groupdict().get("subject")
        subject: str | None = named if named is not None else found.group(min(1, len(found.groups())))
        return subject or None

    @property
    def reads_subfolders(self) -> bool:
        """Whether images in subfolders can match. The guide's datasets have none."""
        return self.text != GUIDE_NAME

    def __str__(self) -> str:
        """Completes "the subject is ..."."""
        named = NAMED_PATTERNS.get(self.text)
        return f"what {self.text!r} finds" if named is None else named.description


@lru_cache(256)
def _compiled(text: str) -> Any:
    if (named := NAMED_PATTERNS.get(text)) is not None:
        return re.compile(named.expression)
    if not text or text.isidentifier() or len(text) > LONGEST_PATTERN:
        reason = "there is none of this name"
        if len(text) > LONGEST_PATTERN:
            reason = f"{LONGEST_PATTERN} characters are the most"
        raise SubjectPatternInvalid(text[:LONGEST_PATTERN], reason, list(NAMED_PATTERNS))
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise SubjectPatternInvalid(text, reason, list(NAMED_PATTERNS)) from None


GUIDE = SubjectPattern(GUIDE_NAME)
"""The guide's rule, and the default."""
