"""The commands on the pages do what the pages show: every block runs in a folder like a fresh clone."""

from pathlib import Path

import pytest

from tests.support.documents import Block, blocks_of, name_of, pages
from tests.support.transcripts import json_difference, text_difference
from tests.system.walkthrough import walk_through

_PAGES = [page for page in pages() if any(block.runs for block in blocks_of(page))]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", _PAGES, ids=name_of)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path, shared_assets: Path) -> None:
    blocks = blocks_of(page)
    following: list[Block | None] = [*blocks[1:], None]
    with walk_through(tmp_path, shared_assets / "weights" / "edgeface_xxs.pt") as walkthrough:
        for block, after in zip(blocks, following, strict=True):
            if not block.runs:
                continue
            printed, status = walkthrough.run(block)
            output = after if after is not None and after.is_output else None
            expected_to_fail = output is not None and "error: " in output.text
            assert (status != 0) == expected_to_fail, f"{block.place}: exit status {status}\n{printed}"
            difference = _difference(output, printed)
            assert difference is None, f"{block.place} does not print: {difference}\n{printed}"


def test_the_readme_and_the_tutorial_are_among_the_pages_that_run() -> None:
    assert {"README.md", "docs/tutorial.md"} <= {name_of(page) for page in _PAGES}


def _difference(output: Block | None, printed: str) -> str | None:
    if output is None:
        return None
    return json_difference(output.text, printed) if output.language == "json" else text_difference(output.text, printed)
