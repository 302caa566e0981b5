"""ShownPaths: writes absolute paths of the service's machine as they may be shown to its users."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from app.finetune.errors import printable

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_BEFORE = r"(?<![\w.-])" + "".join(f"(?<!{method} )" for method in _METHODS)  # a folder may be called like a route
_AFTER = r"(?![\w-]|\.\w)"


@dataclass(frozen=True)
class ShownPaths:
    """`names`: absolute paths of folders and what is shown in their place, longest first."""

    names: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, folders: Iterable[tuple[Path, str]]) -> Self:
        """Of two names for one folder, the first counts. The root of the file system has no name."""
        names: dict[str, str] = {}
        for folder, name in folders:
            for path in (folder.absolute(), folder.resolve()):
                if len(path.parts) > 1:
                    names.setdefault(printable(path), name)
        return cls(tuple(sorted(names.items(), key=lambda each: len(each[0]), reverse=True)))

    def shown(self, text: str) -> str:
        """Return the text with each path in one of the folders written relative to it, as in `datasets/orl16/a.png`."""
        if not any(path in text for path, _ in self.names):
            return text
        return self._pattern.sub(lambda found: self._name_of[found[0]], text)

    def shown_in(self, value: Any) -> Any:
        """Return a value of JSON with each of its texts as by `shown`."""
        if isinstance(value, str):
            return self.shown(value)
        if isinstance(value, dict):
            return {self.shown_in(name): self.shown_in(each) for name, each in value.items()}
        return [self.shown_in(each) for each in value] if isinstance(value, list | tuple) else value

    def dumps(self, value: Any) -> str:
        """As json.dumps, of `shown_in(value)`."""
        text = json.dumps(value)
        return json.dumps(self.shown_in(value)) if self._may_be_in(text) else text

    def loads(self, text: str | bytes) -> Any:
        """As json.loads, with `shown_in` of the value."""
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text)
        return self.shown_in(value) if self._may_be_in(text) else value

    @cached_property
    def _name_of(self) -> dict[str, str]:
        return dict(self.names)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"{_BEFORE}(?:{'|'.join(re.escape(path) for path, _ in self.names)}){_AFTER}")

    @cached_property
    def _in_json(self) -> tuple[str, ...]:
        """The paths as JSON has them: ASCII alone, or not."""
        written = (json.dumps(path, ensure_ascii=ascii_)[1:-1] for path, _ in self.names for ascii_ in (True, False))
        return tuple(dict.fromkeys(written))

    def _may_be_in(self, text: str) -> bool:
        return any(path in text for path in self._in_json)
