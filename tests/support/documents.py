"""The Markdown pages of the repository: their code blocks, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_GENERATED = {".venv", ".audit", "var", ".git", ".gpu", ".pytest_cache", ".ruff_cache", ".mypy_cache", "src", "build"}
_FENCE = re.compile(r"^ *(`{3,}|~{3,})(.*)$")

LANGUAGES: dict[str, frozenset[str]] = {
    "sh": frozenset({"norun"}),
    "python": frozenset({"norun"}),
    "text": frozenset({"output"}),
    "json": frozenset({"output"}),
    "mermaid": frozenset(),
}
"""The languages of blocks, and the words that may follow them. `sh` and `python` blocks are run unless they are marked
`norun`. A `text output` or `json output` block is what the block before it prints."""


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is the number of its opening fence, from 1."""

    page: Path
    line: int
    language: str
    words: frozenset[str]
    text: str

    @property
    def place(self) -> str:
        """`README.md:12`."""
        return f"{name_of(self.page)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in {"sh", "python"} and "norun" not in self.words

    @property
    def is_output(self) -> bool:
        return "output" in self.words


def pages() -> list[Path]:
    found = (page for page in REPOSITORY.rglob("*.md") if not _GENERATED & set(page.relative_to(REPOSITORY).parts))
    return sorted(found)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page. Raises ValueError if one is not closed."""
    found, opened = [], None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            language, *words = fence[2].split() or [""]
            opened, lines = (number, fence[1], language, frozenset(words)), []
        elif opened is not None and fence is not None and line.strip() == opened[1]:
            found.append(Block(page, opened[0], opened[2], opened[3], "".join(f"{each}\n" for each in lines)))
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        raise ValueError(f"{name_of(page)}:{opened[0]}: the block is not closed")
    return found


def prose_of(page: Path) -> str:
    """The page without its fenced blocks and without code in backquotes."""
    text = page.read_text()
    for block in blocks_of(page):
        text = text.replace(block.text, "", 1)
    return re.sub(r"`[^`\n]+`", "", text)


def links_of(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, anchor) of each relative link and picture; either may be empty."""
    prose = prose_of(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    anchors: set[str] = set()
    text = page.read_text()
    for block in blocks_of(page):
        text = text.replace(block.text, "", 1)
    for heading in re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        count = sum(1 for each in anchors if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", each))
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors
