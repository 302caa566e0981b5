"""Reads mutated image files for some seconds with bounded memory: python -m tests.unit.images.fuzz_child SECONDS SEED.

Ends with 1 at the first file that raises another error than ours, which is printed in hexadecimal.
"""

import random
import resource
import struct
import sys
import time
import warnings
from pathlib import Path

from app.finetune.errors import UnreadableImages
from app.finetune.images import count_frames, decode_rgb
from tests.unit.images.test_fuzz import SEEDS
from tests.unit.images.test_limits import declared

ROOM = 2_500_000_000
"""Bytes of address space that the reader may take beyond those of the process at its start."""

CORPUS = Path(__file__).parent / "corpus"
_FILE = Path("some.file")
_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Overwrite, insert, remove or repeat some bytes, or write a number that a size could be."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        end = min(len(changed), 400) if chance.random() < 0.7 else len(changed)
        place, length = chance.randint(0, max(0, end)), chance.randint(1, 16)
        kind = chance.randrange(6)
        if kind == 0:
            changed[place : place + length] = chance.randbytes(length)
        elif kind == 1:
            changed[place:place] = chance.randbytes(length)
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + 4 * length]
        elif kind == 4:
            order = chance.choice("<>") + chance.choice("IH")
            number = chance.choice(_NUMBERS) & (0xFFFF if order.endswith("H") else 0xFFFFFFFF)
            changed[place : place + struct.calcsize(order)] = struct.pack(order, number)
        else:
            del changed[place:]
    return bytes(changed)


def read(content: bytes) -> None:
    """Raises what is not ours."""
    for reader in (2, 1):
        try:
            decode_rgb(_FILE, content, reader)
        except UnreadableImages as error:
            error.message.encode()
    count_frames(content)


def main(seconds: float, seed: int) -> int:
    warnings.simplefilter("ignore")  # of Pillow, which says more than its errors
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)
    chance, files = random.Random(seed), 0
    seeds = [*SEEDS, *declared().values(), *(path.read_bytes() for path in sorted(CORPUS.glob("*.bin")))]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        content = mutate(chance.choice(seeds), chance)
        try:
            read(content)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}\n{content.hex()}")  # to be kept in the corpus
            return 1
        files += 1
    print(f"{files} files")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2])))
