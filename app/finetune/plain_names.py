"""Names that people give to what they upload: one path component on every file system."""

import re

WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")

_PLAIN = re.compile(r"[^\W_][\w .+()-]*", re.UNICODE)


def check_plain_name(name: str) -> str:
    """Raises ValueError."""
    if not _PLAIN.fullmatch(name) or name.endswith((".", " ")):
        raise ValueError(
            "a name begins with a letter or a digit, and has letters, digits, spaces and `_.+()-`; it does not end "
            "with a dot or a space"
        )
    if len(name.encode()) > 200:
        raise ValueError("a name has at most 200 bytes")
    return name
