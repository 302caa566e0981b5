"""Profiles a training: runs it under torch.profiler and sums the time of its named parts.

The profile includes the database: the worker's own code records the training's events in a temporary SQLite database.
In the service the worker does this in another process.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from app.artifacts import Artifacts
from app.database import Database
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, DatasetScan, ImageFile, scan_dataset
from app.finetune.events import Report, TrainingEvent
from app.jobs.transitions import attempts, submission
from worker.recording import record
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import Span, profiled, profiling
from worker.training.storage.paths import TrainingFiles

OTHER = "other"
_LEASE_SECONDS = 86400.0


@dataclass(frozen=True)
class Part:
    """A named part: `seconds` of the training thread, without nested parts, over all `calls`."""

    name: str
    seconds: float
    calls: int


@dataclass(frozen=True)
class Profile:
    """`parts` by descending time, with the unnamed rest, `other`, last. Their sum is `seconds`."""

    seconds: float
    parts: tuple[Part, ...]


def profile_training(config: FinetuneConfig, files: TrainingFiles, trace: Path, report: Report) -> Profile:
    """Run a fine-tuning under the profiler, write the Chrome trace to `trace` and report the events.

    `files.output_dir` must be an own folder JOB/attempt-1. On a GPU each part waits for its kernels, which attributes
    their time correctly and slows the training down. Raises the exceptions of `finetune`.
    """
    with ExitStack() as stack:
        on_event = stack.enter_context(_recording(config, files.output_dir, report))
        profiler = stack.enter_context(profile(activities=_activities(), acc_events=True))
        spans = stack.enter_context(profiling())
        started = time.monotonic()
        finetune(config, files, on_event, Control(predict_duration=False))
        seconds = time.monotonic() - started
    trace.parent.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(trace))
    return Profile(seconds, tuple(parts_of(spans, seconds)))


def parts_of(spans: Iterable[Span], seconds: float) -> Iterator[Part]:
    """Sum the spans of one thread, nested or disjoint, into parts, the longest first. `seconds` is the total time."""
    own: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[str, int] = defaultdict(int)
    around: list[tuple[float, str]] = []
    for start, end, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        while around and around[-1][0] <= start:
            around.pop()
        if around:
            own[around[-1][1]] -= end - start
        own[name] += end - start
        calls[name] += 1
        around.append((end, name))
    for name in sorted(own, key=lambda name: -own[name]):
        yield Part(name, own[name], calls[name])
    yield Part(OTHER, seconds - sum(own.values()), 1)


@contextmanager
def sampled(files: TrainingFiles, images: int) -> Iterator[TrainingFiles]:
    """Yield files limited to `images` training images of as many subjects as possible, and to the same share of val.
    The sample is a temporary folder of links."""
    scan = scan_dataset(files.train_dir, files.val_dir, files.train_reading.pattern, files.val_reading.pattern)
    total = len(scan.train.vlr_images)
    if total <= images:
        yield files
        return
    with tempfile.TemporaryDirectory(prefix="edgeface-sample-") as folder:
        shares = (("train", scan.train, images), ("val", scan.val, _share_of_val(scan, images / total)))
        for half, split, count in shares:
            chosen = {image.photo for image in _round_robin(split.vlr_images, count)}
            for kind in (VLR_FOLDER, HR_FOLDER):
                links, source = Path(folder) / half / kind, split.directory / kind
                links.mkdir(parents=True)
                for image in split.vlr_images if kind == VLR_FOLDER else split.hr_images:
                    if image.photo in chosen:
                        link = links / image.path.relative_to(source)
                        link.parent.mkdir(exist_ok=True)
                        link.symlink_to(image.path.absolute())
        yield replace(files, train_dir=Path(folder) / "train", val_dir=Path(folder) / "val")


_FEWEST_VAL_IMAGES = 64


def _share_of_val(scan: DatasetScan, share: float) -> int:
    return max(_FEWEST_VAL_IMAGES, round(share * len(scan.val.vlr_images)))


def _round_robin(images: Sequence[ImageFile], count: int) -> list[ImageFile]:
    """Return the first image of each subject, then the second of each, and so on, up to `count`."""
    numbers: defaultdict[str, int] = defaultdict(int)
    ranked = []
    for image in images:
        ranked.append((numbers[image.subject], image))
        numbers[image.subject] += 1
    return [image for _, image in sorted(ranked, key=lambda pair: pair[0])[:count]]


@contextmanager
def _recording(config: FinetuneConfig, output_dir: Path, report: Report) -> Iterator[Callable[[TrainingEvent], None]]:
    """Yield a callback that records an event as the worker does, then reports it."""
    with tempfile.TemporaryDirectory(prefix="edgeface-profile-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'profile.sqlite'}")
        database.migrate()
        with database.writing() as session:
            job_id = submission.submit(session, config, []).id
        with database.writing() as session:
            claim = attempts.claim(session, job_id, "profile", _LEASE_SECONDS)
        assert claim is not None, "no other worker uses this database"  # noqa: S101
        with database.writing() as session:
            attempts.begin_attempt(session, claim, None)
        artifacts = Artifacts(output_dir.parent.parent)

        def on_event(event: TrainingEvent) -> None:
            with profiled("database"), database.writing() as session:
                record(session, claim, event, artifacts)
            report(event)

        try:
            yield on_event
        finally:
            database.close()


def _activities() -> list[ProfilerActivity]:
    cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *cuda]
