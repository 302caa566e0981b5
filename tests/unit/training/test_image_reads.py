"""How often a fine-tuning opens and decodes each image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.finetune.events import StateSaved, Stopped, TrainingEvent
from tests.support.image_reads import ImageReads, image_reads
from tests.unit.training.support import run, run_unpredicted, tiny_config, write_training
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.storage.paths import ResumeFrom, TrainingFiles


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


@pytest.fixture
def reads(files: TrainingFiles) -> Iterator[ImageReads]:
    with image_reads(files.train_dir) as reads:
        yield reads


def counts(reads: ImageReads, files: TrainingFiles, kind: str) -> set[tuple[int, int]]:
    """Opens and decodes of train's images of a kind."""
    return {(reads.opens[path], reads.decodes[path]) for path in (files.train_dir / kind).iterdir()}


def test_a_job_opens_and_decodes_each_image_of_train_once_and_later_jobs_decode_none(
    files: TrainingFiles, reads: ImageReads
) -> None:
    run_unpredicted(files)
    assert counts(reads, files, "vlr_images") == {(1, 1)}
    assert counts(reads, files, "hr_images") == {(1, 1)}
    reads.clear()
    run_unpredicted(replace(files, output_dir=files.output_dir.with_name("again")))
    assert counts(reads, files, "vlr_images") == {(1, 0)}
    # HR images whose thumbnails resemble each other are compared in full by every job.
    assert counts(reads, files, "hr_images") <= {(1, 0), (2, 1)}


def test_a_job_with_synthetic_identities_uses_the_same_reading_for_them(
    files: TrainingFiles, reads: ImageReads
) -> None:
    run(files, synthetic_identities=2, stage1_epochs=0, stage2_epochs=1)
    assert counts(reads, files, "vlr_images") == {(1, 1)}
    assert counts(reads, files, "hr_images") == {(1, 1)}


def test_a_job_that_resumes_looks_for_no_copies_and_leaves_hr_images_alone(
    files: TrainingFiles, reads: ImageReads
) -> None:
    control, states = Control(predict_duration=False), list[StateSaved]()

    def stop(event: TrainingEvent) -> None:
        if isinstance(event, StateSaved):
            states.append(event)
            control.stop.set()

    assert isinstance(finetune(tiny_config(), files, stop, control), Stopped)
    reads.clear()
    output_dir = files.output_dir.with_name("resumed")
    run_unpredicted(replace(files, output_dir=output_dir, resume=ResumeFrom(states[-1].file.path, None)))
    assert counts(reads, files, "vlr_images") == {(1, 0)}
    assert counts(reads, files, "hr_images") == {(0, 0)}
