"""Time and losses of a peer's training."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field


@dataclass
class Trained:
    """`seconds` from the files on disk to the checkpoint on disk, and with our evaluation; images/s of stage 2; mean
    train loss of each epoch of both stages."""

    seconds: float = 0.0
    seconds_with_evaluation: float = 0.0
    images_per_second: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def print_json(self) -> None:
        """Print it for the parent process."""
        print(json.dumps(asdict(self)))

    @contextmanager
    def timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - started
