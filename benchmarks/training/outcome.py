"""What a peer's training of the same job took and learned."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field


@dataclass
class Trained:
    """`seconds` from the files on disk to the checkpoint on disk, and with what comes after it in ours; stage 2's
    images/s, and the mean train loss of each epoch of both stages."""

    seconds: float = 0.0
    seconds_with_evaluation: float = 0.0
    images_per_second: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def tell(self) -> None:
        """On stdout, for the process that asked."""
        print(json.dumps(asdict(self)))

    @contextmanager
    def timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - started
