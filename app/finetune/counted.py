"""Counts in words."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return the count with its noun, as in `1 image` and `2 images`. The plural is the noun with `s` if None."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def by_number(count: int, one: str, several: str) -> str:
    """Return the word for so many, as in `is` and `are`."""
    return one if count == 1 else several
