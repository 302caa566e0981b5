"""Checks the weights files that a config names, without torch, in limited children (app/checked_weights).

So a submission with unsuitable weights is refused at once. A worker checks each file again when it claims the job.
"""

from pathlib import Path

from app.checked_weights.check import check_weights
from app.finetune.architectures import DsrLayout
from app.finetune.job_warning import JobWarning
from app.finetune.network_limits import refuse_too_large


def check_edgeface(path: Path) -> list[JobWarning]:
    """Return the warnings about an EdgeFace file. The worker checks files in PyTorch's format before 1.6.

    Raises WeightsError if the tensors are not those of an EdgeFace, and the errors of app/isolated/errors.py.
    """
    return list(check_weights(path, "EdgeFace").warnings)


def check_dsr(path: Path) -> tuple[DsrLayout | None, list[JobWarning]]:
    """Return the layout of the file's DSR network, and warnings. PyTorch's format before 1.6 has no layout here: the
    worker checks it.

    Raises WeightsError, and the errors of app/isolated/errors.py.
    """
    result = check_weights(path, "DSR")
    return result.layout, list(result.warnings)


def check_enlarging(path: Path, vlr_size: int | None) -> list[JobWarning]:
    """As `check_dsr`, for a network that enlarges images of `vlr_size` pixels, None: of any size. The job refuses what
    is too large for its images."""
    layout, warnings = check_dsr(path)
    if layout is not None and vlr_size is not None:
        refuse_too_large(layout, [vlr_size], path)
    return warnings
