"""Ids of the uploads that this user began, in files: who sends the same file again goes on with the same upload."""

import os
import re
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_FORGOTTEN_AFTER_SECONDS = 30 * 86_400.0
_ID = re.compile("[0-9a-f]{24}")


class BegunUploads:
    """One file for each service and source, in `folder`, by default that of the user. Where it cannot be written, an
    upload begins anew after its process was killed."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self._url = url
        self._folder = folder or _users_folder()

    def find(self, identity: str) -> str | None:
        with suppress(OSError, UnicodeDecodeError):
            found = self._file(identity).read_text().strip()
            return found if _ID.fullmatch(found) else None
        return None

    def keep(self, identity: str, upload_id: str) -> None:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget_old()
            file = self._file(identity)
            partial = file.with_suffix(f".{os.getpid()}")
            partial.write_text(f"{upload_id}\n")
            partial.replace(file)

    def forget(self, identity: str) -> None:
        with suppress(OSError):
            self._file(identity).unlink()

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            if time.time() - path.stat().st_mtime > _FORGOTTEN_AFTER_SECONDS:
                path.unlink(missing_ok=True)

    def _file(self, identity: str) -> Path:
        return self._folder / sha256(f"{self._url}\0{identity}".encode()).hexdigest()


def _users_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    parent = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return parent / "edgeface-finetune" / "uploads"
