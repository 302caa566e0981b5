"""Validation after an epoch: class accuracy on the subjects of the train set, verification on all of val."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.data.val_faces import ValFaces
from worker.training.metrics import FaceSet, score_pairs, separation, verification_auc
from worker.training.models.embedding import embed, face_set
from worker.training.objectives.classifier import CosineClassifier
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import FORWARD_WORK
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import Progress
from worker.training.validation.measure import Measurement, measure
from worker.training.validation.selection import Validated

# Shape suffixes: P probes (VLR), K those of known subjects, G gallery images (HR), C = 3 channels (RGB), H = W = 112
# pixels, D = 512 dimensions, S subjects of train; _u8 is uint8.


@dataclass(frozen=True)
class ValEmbeddings:
    """L2-normalised embeddings of val's probes and gallery."""

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
        """The recognition of the probes against the gallery."""
        return measure(self.probes, self.gallery)


@profiled("validation")
def embed_val(
    backbone: nn.Module,
    val: ValFaces,
    device: torch.device,
    progress: Progress,
    control: Control,
    parallel: CpuParallel = SINGLE_THREAD,
) -> ValEmbeddings:
    """The embeddings of val by the backbone as it is now. Raises OutOfMemory and StopRequested."""

    def on_faces(count: int) -> None:
        progress.advance(count * FORWARD_WORK)
        control.refuse_if_stopped()

    probes_PD = embed(backbone, val.probes_u8_PCHW, device, on_faces, parallel=parallel)
    gallery_GD = embed(backbone, val.gallery_u8_GCHW, device, on_faces, parallel=parallel)
    return ValEmbeddings(val, probes_PD, gallery_GD)


@profiled("validation")
@torch.inference_mode()
def validate(embeddings: ValEmbeddings, classifier: CosineClassifier) -> Validated:
    """The metrics of one epoch."""
    val = embeddings.val
    scores = score_pairs(embeddings.probes, embeddings.gallery)
    auc, separated = verification_auc(scores), separation(scores)
    labels_P = val.labels().to(embeddings.probes_PD.device)
    known_P = labels_P >= 0
    if not known_P.any():
        return Validated(None, None, auc, separated)
    logits_KS, labels_K = classifier.logits(embeddings.probes_PD[known_P]), labels_P[known_P]
    loss = F.cross_entropy(logits_KS, labels_K).item()
    return Validated(loss, (logits_KS.argmax(1) == labels_K).float().mean().item(), auc, separated)
