"""Errors of face alignment. All errors are drawn in app/finetune/error_tree.py."""

from pathlib import Path

from app.finetune.errors import Blame, DataError, EdgefaceError


class AlignExtraMissing(EdgefaceError):
    code = "align_extra_missing"
    blame: Blame = "request"

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(
            f"face detection needs the package {module}, which is not installed",
            "install the extra into the environment of edgeface-finetune: pip install .[align]",
        )


class AlignModelDamaged(EdgefaceError):
    code = "align_model_damaged"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} differs from the model file of this version", "install edgeface-finetune again")


class NothingAligned(DataError):
    code = "nothing_aligned"

    def __init__(self, photos: Path, without: int, several: int) -> None:
        super().__init__(
            f"no photo in {photos} shows exactly one face: {without} without a face, {several} with several",
            "use photos of one person with an upright face, or pass --largest-face for photos with several faces",
        )
