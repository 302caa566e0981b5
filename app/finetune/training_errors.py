"""Errors that end a training: it diverged, or the machine lacks memory, disk space or the device."""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.counted import counted
from app.finetune.errors import Blame, EdgefaceError, name_some


class TrainingDiverged(EdgefaceError):
    code = "training_diverged"
    blame: Blame = "request"


class EnlargementNotFinite(TrainingDiverged):
    code = "dsr_not_finite"

    def __init__(self, dsr: Path, images: int) -> None:
        super().__init__(
            f"the DSR network in {dsr} returned NaN or infinity for {counted(images, 'image')}",
            'use weights trained for faces in [0, 1], or set "dsr" to "bicubic"',
        )


class LossNotFinite(TrainingDiverged):
    code = "loss_not_finite"

    def __init__(self, stage: int, epoch: int) -> None:
        super().__init__(
            f"the loss became NaN or infinity in epoch {epoch} of stage {stage}, and again after a rollback to the "
            "last good state with a lower learning rate; no checkpoint was written from it",
            "lower head_lr in stage 1, backbone_lr and head_lr_stage2 in stage 2; "
            'if mixed_precision is fp16, try "bf16" or "off"',
        )


class DsrLossNotFinite(TrainingDiverged):
    code = "dsr_loss_not_finite"

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(
            f"the loss of the DSR network became NaN or infinity at step {step} of epoch {epoch}; no weight was "
            "updated from it",
            "lower lr and submit the training again; if it starts from `dsr` weights, check that they were trained for "
            "faces in [0, 1]",
        )


class OnnxDiffers(EdgefaceError):
    code = "onnx_differs"

    def __init__(self, worst: float, least: float) -> None:
        super().__init__(
            f"the ONNX file differs from the network: the embeddings of a face by PyTorch and by ONNX Runtime have a "
            f"cosine of {worst:.7f}, and {least} is the least that is accepted; no file was written",
            "use the .pth files; please report it, with the versions of torch and onnxruntime (pip list)",
        )


class TooLittleMemory(EdgefaceError):
    code = "too_little_memory"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"too little memory is free to decode {path}",
            "end other programs on that machine or lower num_workers, then retry the job",
        )


class OutOfMemory(EdgefaceError):
    code = "out_of_memory"
    blame: Blame = "request"

    def __init__(self, micro_batch_size: int | None = None) -> None:
        even = "" if micro_batch_size is None else f" even with {micro_batch_size} image at a time"
        super().__init__(
            f"the device ran out of memory{even}",
            "choose a smaller backbone or a device with more free memory; another program may be using this one",
        )


class GpuFull(EdgefaceError):
    code = "gpu_full"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"too little memory of the GPU is free: {reason}",
            "end the other programs on it (nvidia-smi lists them): the job then resumes without further action; or "
            "give the worker other GPUs by CUDA_VISIBLE_DEVICES",
        )


class DiskFull(EdgefaceError):
    code = "disk_full"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no space left to write {path}", "free space on that disk: the job then resumes without further action"
        )


class DeviceUnavailable(EdgefaceError):
    code = "device_unavailable"
    blame: Blame = "request"

    def __init__(self, device: str, available: Sequence[str]) -> None:
        super().__init__(
            f"device {device!r} is not available on this worker (it has {name_some(available)})",
            'set "device" to "auto", or start a worker on a machine that has the device',
        )


class GpuUnusable(EdgefaceError):
    code = "gpu_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"this machine has a GPU that PyTorch cannot use: {reason}",
            "run nvidia-smi on it: after an update of the driver restart the machine, and install a PyTorch that is "
            'built for that driver and GPU; to compute on the CPU instead, set "device" to "cpu", or start with an '
            "empty CUDA_VISIBLE_DEVICES",
        )
