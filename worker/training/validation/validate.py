"""Validation after an epoch: class accuracy on the subjects that train knows, verification on all of val."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.finetune.dataset import Selection, subject_of
from worker.training.metrics import FaceSet, Separation, score_pairs, separation, verification_auc
from worker.training.objectives.arcface import ArcFace
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import ONE_LANE, Lanes
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import FORWARD_WORK, Progress
from worker.training.validation.measure import Measurement, embed, face_set, measure

# Shape suffixes: P probes (VLR), K those of known subjects, G gallery images (HR), C = 3 channels (RGB), H = W = 112
# pixels, D = 512 dimensions, S subjects of train; _u8 is uint8.


@dataclass(frozen=True)
class ValFaces:
    """Val's VLR probes and HR gallery, uint8 [., 3, 112, 112], and the class id of each probe, -1 for a subject that
    train lacks."""

    probes_u8_PCHW: Tensor
    probe_paths: tuple[Path, ...]
    gallery_u8_GCHW: Tensor
    gallery_paths: tuple[Path, ...]
    subject_to_id: dict[str, int]

    def labels(self) -> Tensor:
        return torch.tensor([self.subject_to_id.get(subject_of(path.name), -1) for path in self.probe_paths])


@dataclass(frozen=True)
class ValEmbeddings:
    """L2-normalised embeddings of both, from one state of the backbone."""

    val: ValFaces
    probes_PD: Tensor
    gallery_GD: Tensor

    @property
    def probes(self) -> FaceSet:
        return face_set(self.probes_PD, self.val.probe_paths)

    @property
    def gallery(self) -> FaceSet:
        return face_set(self.gallery_GD, self.val.gallery_paths)

    @profiled("validation")
    def measure(self) -> Measurement:
        """Verification and rank-1 of the probes against the gallery."""
        return measure(self.probes, self.gallery)


@profiled("validation")
def embed_val(
    backbone: nn.Module,
    val: ValFaces,
    device: torch.device,
    progress: Progress,
    control: Control,
    lanes: Lanes = ONE_LANE,
) -> ValEmbeddings:
    """Val as the backbone sees it now. Raises OutOfMemory and StopRequested."""

    def on_faces(count: int) -> None:
        progress.advance(count * FORWARD_WORK)
        control.refuse_if_stopped()

    probes_PD = embed(backbone, val.probes_u8_PCHW, device, on_faces, lanes=lanes)
    gallery_GD = embed(backbone, val.gallery_u8_GCHW, device, on_faces, lanes=lanes)
    return ValEmbeddings(val, probes_PD, gallery_GD)


@dataclass(frozen=True)
class Validated:
    """`loss` and `accuracy` (0..1) are over the probes of known subjects, without margin and label smoothing; None
    where no subject is known. `auc` as in Recognition; `separation` None where it is."""

    loss: float | None
    accuracy: float | None
    auc: float | None
    separation: Separation | None = None


@profiled("validation")
@torch.inference_mode()
def validate(embeddings: ValEmbeddings, head: ArcFace) -> Validated:
    """The metrics of one epoch."""
    val = embeddings.val
    scores = score_pairs(embeddings.probes, embeddings.gallery)
    auc, separated = verification_auc(scores), separation(scores)
    labels_P = val.labels().to(embeddings.probes_PD.device)
    known_P = labels_P >= 0
    if not known_P.any():
        return Validated(None, None, auc, separated)
    logits_KS, labels_K = head.cosine_logits(embeddings.probes_PD[known_P]), labels_P[known_P]
    loss = F.cross_entropy(logits_KS, labels_K).item()
    return Validated(loss, (logits_KS.argmax(1) == labels_K).float().mean().item(), auc, separated)


@dataclass
class Best:
    """The best validation so far, and how many have passed since it.

    By accuracy, and among equal accuracies (val sets are small) by lower loss; or by AUC. A later epoch has to be
    strictly better; with `keeps_last` each is better than those before. `rank` is what epochs are compared by, `epoch`
    0 while there is none.
    """

    selection: Selection
    keeps_last: bool = False
    rank: tuple[float, float] | None = None
    epoch: int = 0
    validations_since: int = 0

    def offer(self, epoch: int, validated: Validated) -> bool:
        """Whether this epoch is the new best."""
        rank = (self.score(validated), 0.0 if validated.loss is None else -validated.loss)
        if self.selection == "verification_auc":
            rank = (rank[0], 0.0)
        if self.keeps_last:
            rank = (float(epoch), 0.0)
        if self.rank is not None and rank <= self.rank:
            self.validations_since += 1
            return False
        self.rank, self.epoch, self.validations_since = rank, epoch, 0
        return True

    def saved(self) -> dict[str, Any]:
        """The fields that a training's state keeps."""
        return {"rank": self.rank, "epoch": self.epoch, "validations_since": self.validations_since}

    def score(self, validated: Validated) -> float:
        """What epochs are chosen by, in 0..1."""
        score = validated.auc if self.selection == "verification_auc" else validated.accuracy
        assert score is not None, f"scan_dataset chose {self.selection} for a val that has none"  # noqa: S101
        return score
