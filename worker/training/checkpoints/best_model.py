"""The checkpoint of the best epoch, which users get."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from app.finetune.artifact_names import FORMATS
from app.finetune.config import FinetuneConfig
from app.finetune.errors import printable
from app.finetune.events import WrittenFile
from worker.training.objectives.classifier import CosineClassifier
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.runtime.transfers import on_cpu
from worker.training.storage.atomic import saved_bytes, write_whole

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Provenance:
    """The origin of a checkpoint, except its epoch. Plain values."""

    config: FinetuneConfig
    subject_to_id: dict[str, int]
    variant: str
    enlargement: str
    resampler: str


class Checkpoints:
    """The checkpoints of one run's best epochs, each in a folder of its own in the output folder. None is removed here:
    the receiver of the events knows when an older one is needed no more."""

    def __init__(self, output_dir: Path, provenance: Provenance, control: Control) -> None:
        self._output_dir = output_dir
        self._provenance = provenance
        self._control = control

    @profiled("checkpoint")
    def snapshot(
        self,
        backbone: nn.Module,
        classifier: CosineClassifier,
        *,
        epoch: int,
        val_acc: float | None,
        val_auc: float | None,
    ) -> Callable[[], dict[str, WrittenFile]]:
        """Copy the networks as they are now. Returns a function that writes `best-epoch-NNN/edgeface_finetuned.pth` and
        the bare backbone as `edgeface_backbone.pth`, in any thread, and returns the files by the names of their
        formats; it raises DiskFull. Both files load with weights_only=True. `val_acc` and `val_auc` in 0..1."""
        networks = on_cpu(  # once for both files
            {
                "backbone_state_dict": plain(backbone.state_dict()),
                "arcface_state_dict": plain(classifier.state_dict()),
            }
        )
        content = {
            **networks,
            "subject_to_id": {printable(name): id_ for name, id_ in self._provenance.subject_to_id.items()},
            "epoch": epoch,
            "val_acc": val_acc,
            "val_auc": val_auc,
            "config": self._provenance.config.model_dump(mode="json"),
            "format_version": FORMAT_VERSION,
            "variant": self._provenance.variant,
            "preprocessing": {
                "enlargement": self._provenance.enlargement,
                "resampler": self._provenance.resampler,
                "channels": "RGB",
                "mean": 0.5,
                "std": 0.5,
            },
        }
        folder = self._output_dir / f"best-epoch-{epoch:03d}"
        files = {"full": saved_bytes(content), "backbone": saved_bytes(networks["backbone_state_dict"])}

        def write() -> dict[str, WrittenFile]:
            return {
                name: write_whole(folder / FORMATS[name].file_name, bytes_, self._control)
                for name, bytes_ in files.items()
            }

        return write


def plain(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same as a dict of tensors: a state dict is a class of its own."""
    return {name: tensor.detach() for name, tensor in state_dict.items()}
