"""Finds subjects whose file names look like those of several people: `Aaron_A_0001` and `Aaron_B_0001` are one subject
by the guide's rule, which reads a name up to the first `_`.

Only names of people count: words between the subject and the ending, which is a number (`_0001`, `-1`, ` (1)`) or a
letter (`_a`). Sessions, cameras and expressions are written
there too (`001_cam1_1`, `anna_left_01`), but they have digits, stand after a number, or occur with several subjects.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from app.finetune.counted import by_number, counted
from app.finetune.errors import name_some
from app.finetune.job_warning import JobWarning

_NUMBERED = re.compile(
    r"""([^_/]+)_(.+?)
    (?:
        [-_ ][a-zA-Z]
        | (?: [-_ .]+\d+ | [-_ .]*\(\d+\) | (?<=[^\W\d_]{2})\d+ )+
    )""",
    re.VERBOSE,
)
ANY_ENDING = r"(.+?)(?:[-_ ][a-zA-Z]|(?:[-_ ]*\(?\d+\)?)+)"
"""A subject pattern of people with first and last name, whatever separates the number or letter of the photo."""

_WORD = re.compile(r"[^\W\d_][^\d_/]*")
_CONDITION = re.compile(
    "aligned|angry|back|bottom|bright|cam|camera|cent(er|re)|closed|crop|cropped|dark|down|eyes|face|far|fear|frame|"
    "front|frontal|glasses|happy|hr|image|img|indoor|left|light|lr|mask|near|neutral|noglasses|normal|open|outdoor|"
    "photo|pic|profile|right|sad|session|sleepy|smile|smiling|surprised|test|top|train|up|val|vlr|wink",
    re.IGNORECASE,
)


def subject_groups(images: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the subjects of several groups and their groups: names without their ending.

    `images` are subjects and names without suffix and resolution mark, as by the guide's rule. Both are sorted.
    """
    words_of: defaultdict[str, set[str]] = defaultdict(set)
    for subject, name in images:
        found = _NUMBERED.fullmatch(name)
        if found and found[1] == subject and _are_words([subject, *found[2].split("_")]):
            words_of[subject].add(found[2])
    subjects_of = Counter(words for several in words_of.values() for words in several)
    return {
        subject: [f"{subject}_{words}" for words in sorted(several)]
        for subject, several in sorted(words_of.items())
        if len(several) > 1 and 2 * sum(subjects_of[words] == 1 for words in several) >= len(several)
    }


def subject_groups_warning(count: int, groups: object, part: str) -> JobWarning:
    """Return a warning that names the subjects of several groups in a part (train, val or test): so many, in words."""
    return JobWarning(
        code="subject_groups",
        message=f"{counted(count, f'{part} subject')} {by_number(count, 'has', 'have')} images with several names "
        f"({groups}): "
        "the subject is the file name up to the first `_`, so that people with the same first name count as one "
        "person. If these are different people, set the subject pattern to `lfw`, which is the name up to the last `_` "
        f"and number, or for names that end in another way to a regular expression such as `{ANY_ENDING}`",
    )


def describe_groups(groups: Mapping[str, list[str]]) -> list[str]:
    """Return each subject with its groups, in words."""
    return [f"{subject}: {name_some(names, 3)}" for subject, names in groups.items()]


def _are_words(parts: list[str]) -> bool:
    return all(_WORD.fullmatch(part) and not _CONDITION.fullmatch(part) for part in parts)
