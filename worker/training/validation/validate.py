"""Validation after an epoch: class accuracy on the subjects of the train set, verification on all of val."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.data.val_faces import ValFaces
from worker.training.metrics import FaceSet, count_pairs, separation, tar_at_far, verification_auc
from worker.training.models.embedding import embed, face_set
from worker.training.objectives.classifier import CosineClassifier
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import FORWARD_WORK
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.out_of_memory import in_parts_that_fit
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import Progress
from worker.training.validation.measure import Measurement, measure
from worker.training.validation.selection import Validated

# Shape suffixes: P probes (VLR), K those of known subjects, G gallery images (HR), C = 3 channels (RGB), H = W = 112
# pixels, D = 512 dimensions, S subjects of train; _u8 is uint8.

_LOGITS_AT_ONCE = 2**24
"""64 MiB."""


@dataclass(frozen=True)
class ValEmbeddings:
    """L2-normalised embeddings of val's probes and gallery."""

    val: ValFaces
    probes_PD: Tensor
    gallery_GD: Tensor

    @property
    def probes(self) -> FaceSet:
        return face_set(self.probes_PD, self.val.probe_images)

    @property
    def gallery(self) -> FaceSet:
        return face_set(self.gallery_GD, self.val.gallery_images)

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
    """The metrics of one epoch. Raises OutOfMemory."""
    val = embeddings.val
    scores = count_pairs(embeddings.probes, embeddings.gallery)
    auc, separated, tar = verification_auc(scores), separation(scores), tar_at_far(scores, 0.01)
    labels_P = val.labels().to(embeddings.probes_PD.device)
    known_P = labels_P >= 0
    if not known_P.any():
        return Validated(None, None, auc, separated, tar)
    places_K = known_P.nonzero()[:, 0]

    def means(places_B: Tensor) -> Tensor:
        """The mean loss and the accuracy of some known probes, and their share of all: [1, 3]."""
        logits_BS, labels_B = classifier.logits(embeddings.probes_PD[places_B]), labels_P[places_B]
        loss, accuracy = F.cross_entropy(logits_BS, labels_B), (logits_BS.argmax(1) == labels_B).float().mean()
        share = torch.tensor(len(places_B) / len(places_K), dtype=torch.float64, device=loss.device)
        return torch.stack([loss.double(), accuracy.double(), share])[None]

    at_once = max(1, _LOGITS_AT_ONCE // len(classifier.weight))
    losses, accuracies, shares = in_parts_that_fit(means, places_K, at_once).T
    return Validated(float(losses @ shares), float(accuracies @ shares), auc, separated, tar)
