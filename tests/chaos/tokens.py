"""The kills that are left. Who kills, the harness or a process itself, spends one, so that their number is exact."""

from pathlib import Path


class Tokens:
    def __init__(self, folder: Path) -> None:
        self._left = folder / "left"
        self._spent = folder / "spent"

    def issue(self, kills: int) -> None:
        for folder in (self._left, self._spent):
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(kills):
            (self._left / f"{number:05}").touch()

    def spend(self, kind: str) -> bool:
        """Whether one was left. `kind` says what is about to be killed, and where."""
        for token in _names(self._left):
            try:
                (self._left / token).rename(self._spent / f"{token}-{kind}")
            except FileNotFoundError:
                continue  # somebody else was quicker
            return True
        return False

    def left(self) -> int:
        return len(_names(self._left))

    def spent(self) -> list[str]:
        """The kinds of all kills so far."""
        return [name.split("-", 1)[1] for name in _names(self._spent)]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
