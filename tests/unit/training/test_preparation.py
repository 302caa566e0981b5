"""Which images go through which enlargement."""

from pathlib import Path

import torch

from app.finetune.architectures import DsrLayout
from app.finetune.dataset import scan_dataset
from worker.training.models.dsr import DSR
from worker.training.pixels import Enlarge, enlarge_bicubic, enlarge_by_dsr, prepare_faces
from worker.training.preparation import prepare
from worker.training.progress import Progress

from .support import tiny_config, write_drawn_split

CPU = torch.device("cpu")


def test_dsr_enlarges_vlr_images_and_leaves_the_hr_gallery_alone(tmp_path: Path) -> None:
    write_drawn_split(tmp_path / "train", range(2), range(2))
    write_drawn_split(tmp_path / "val", range(2), range(2, 4))
    torch.manual_seed(0)
    dsr = DSR(DsrLayout(channels=4, blocks=1, factors=(7,), prelu_parameters=1)).eval()
    scan = scan_dataset(tmp_path / "train", tmp_path / "val")
    progress = Progress(1.0, lambda _: None)
    train, val = prepare(tiny_config(), scan, (dsr, Path("dsr.pth")), CPU, lambda _: None, progress)

    def prepared(paths: tuple[Path, ...], enlarge: Enlarge) -> torch.Tensor:
        return prepare_faces(paths, enlarge, threads=0).pixels_u8

    by_dsr = enlarge_by_dsr(dsr, Path("dsr.pth"), CPU)
    assert torch.equal(train.pixels_u8, prepared(scan.train.vlr_images, by_dsr))
    assert torch.equal(val.probes_u8_PCHW, prepared(scan.val.vlr_images, by_dsr))
    assert torch.equal(val.gallery_u8_GCHW, prepared(scan.val.hr_images, enlarge_bicubic))
    assert val.labels().tolist() == [0, 0, 1, 1]
