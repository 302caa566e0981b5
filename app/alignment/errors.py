"""What can go wrong when faces are aligned; they continue the tree in app/finetune/errors.py.

EdgefaceError
├── AlignExtraMissing     the packages of the extra are not installed
├── AlignModelDamaged     a model file is not the one that this version ships
└── DataError
    └── NothingAligned    no photo is left to build a dataset of
"""

from pathlib import Path

from app.finetune.errors import Blame, DataError, EdgefaceError


class AlignExtraMissing(EdgefaceError):
    code = "align_extra_missing"
    blame: Blame = "request"

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(
            f"finding faces needs the package {module}, which is not installed",
            "install the extra where edgeface-finetune is: pip install .[align]",
        )


class AlignModelDamaged(EdgefaceError):
    code = "align_model_damaged"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not the model that this version ships", "install edgeface-finetune again")


class NothingAligned(DataError):
    code = "nothing_aligned"

    def __init__(self, photos: Path, without: int, several: int) -> None:
        super().__init__(
            f"no photo in {photos} shows exactly one face: {without} without a face, {several} with several",
            "give photos of one person each with the face upright, or take --largest-face where there are several",
        )
