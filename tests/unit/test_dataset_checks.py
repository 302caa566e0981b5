"""The check of a dataset at submission reads an image once, and again only after a change."""

from pathlib import Path

from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from app.finetune.dataset import scan_dataset
from app.finetune.leaks import AllowedLeaks
from app.inputs.dataset_checks import DatasetChecks
from tests.support.image_reads import image_reads


def test_each_image_is_read_once_for_all_submissions_until_it_changes(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path / "faces", subjects=4, images_per_subject=3, seed=1)
    built = build_dataset(tmp_path / "faces", tmp_path / "out", test_fraction=0).output
    scan, checks = scan_dataset(built / "train_processed", built / "val_processed"), DatasetChecks(1000)
    images = [*scan.train.vlr_images, *scan.val.vlr_images, *scan.val.hr_images]

    def check() -> None:
        assert checks.refuse_unreadable(images) == []
        checks.refuse_equal({"train": scan.train, "val": scan.val}, AllowedLeaks([]))

    with image_reads(built) as reads:
        check()
        assert {path: (reads.opens[path], reads.decodes[path]) for path in images} == dict.fromkeys(images, (1, 1))
        reads.clear()
        check()
        assert not reads.opens
        images[0].write_bytes(images[0].read_bytes() + b"trailing")
        reads.clear()
        check()
        assert reads.opens == {images[0]: 1}
