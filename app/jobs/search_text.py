"""Text in which the search of jobs looks: a column of its own, written with the row.

It is casefolded, so that a search reads no JSON and finds `Über` as `über` in both databases.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_BETWEEN = "\x1f"
_TAG = "\x1e"
"""Neither is in a name, a tag or a path: a search for one part cannot match across two."""

_PLACES = ("dataset", "name", "train_dir", "val_dir", "eval_dir")
"""Fields of configs that name a dataset. The first that is set counts."""


def search_text(name: str, tags: Sequence[str], config: Mapping[str, Any]) -> str:
    """Return the text of a job with these labels and this config."""
    place = next((value for field in _PLACES if isinstance(value := config.get(field), str)), "")
    return f"{name}{_BETWEEN}{place}{_TAG}{''.join(f'{tag}{_TAG}' for tag in tags)}".casefold()


def of_tag(tag: str) -> str:
    """Return the part of a search text that a job with the tag has, and no other job."""
    return f"{_TAG}{tag}{_TAG}".casefold()
