"""Before a training with invented people: their faces, and all that the untouched backbone says of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FACES_OF_EACH, FinetuneConfig
from worker.training.data.face_cache import PreparedFaces
from worker.training.data.preprocess import Enlarge, Faces
from worker.training.data.synthetic_identities import draw_identities, synthetic_key
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.device import to_device_if_it_fits
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import FORWARD_WORK, SYNTHESIS_WORK, Progress

# Shape suffixes: N training faces, Q = 8 faces of each invented person, P people: the invented ones, then the S real
# ones, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is uint8; embeddings are L2-normalised.


@dataclass(frozen=True)
class TeacherTargets:
    """The invented faces, which may lie elsewhere than on the device that trains, and what enlarges them when they are
    reduced; and what the teacher says of all people, on the device: the mean of its embeddings of their HR faces."""

    invented_u8_QCHW: Tensor
    enlarge: Enlarge
    prototypes_PD: Tensor

    @property
    def invented_people(self) -> int:
        return len(self.invented_u8_QCHW) // FACES_OF_EACH


def make_synthetic_identities(
    config: FinetuneConfig,
    hr: Faces,
    hr_digest: str,
    labels_N: Tensor,
    prepared_dir: Path,
    progress: Progress,
    control: Control,
) -> Faces:
    """Generate the faces of the synthetic identities, 8 each, from train's HR images with class ids `labels_N`, or
    read them from the prepared faces.

    Raises DiskFull and StopRequested.
    """
    people, seed = config.synthetic_identities, config.seed
    count, store = people * FACES_OF_EACH, PreparedFaces(prepared_dir, control)
    key = synthetic_key(hr_digest, people, seed)
    found = store.find(key, count)
    if found is None:
        with profiled("inventing people"):
            drawn = draw_identities(labels_N, people, seed)
            found = store.make(key, count, lambda: drawn.faces(hr.pixels_u8))
    progress.advance(count * SYNTHESIS_WORK)
    return found


@profiled("teaching")
def embed_with_teacher(
    teacher: EdgeFace,
    faces_u8_NCHW: Tensor,
    device: torch.device,
    parallel: CpuParallel,
    progress: Progress,
    control: Control,
) -> Tensor:
    """Its embeddings [N, 512] of faces, through which gradients may flow to what is compared with them.

    Raises OutOfMemory and StopRequested.
    """

    def on_faces(count: int) -> None:
        progress.advance(count * FORWARD_WORK)
        control.refuse_if_stopped()

    return embed(teacher, faces_u8_NCHW, device, on_faces, parallel=parallel).clone()  # out of inference mode


def teacher_targets(
    hr: Faces, invented: Faces, labels_N: Tensor, enlarge: Enlarge, embed_by_teacher: Callable[[Tensor], Tensor]
) -> TeacherTargets:
    """Targets on the device of the embeddings that `embed_by_teacher` returns for faces, uint8 [., 3, 112, 112]."""
    real_ND, invented_QD = embed_by_teacher(hr.pixels_u8), embed_by_teacher(invented.pixels_u8)
    labels_N = labels_N.to(real_ND.device)
    real_SD = real_ND.new_zeros(int(labels_N.max()) + 1, real_ND.shape[1]).index_add_(0, labels_N, real_ND)
    prototypes_PD = F.normalize(torch.cat([invented_QD.view(-1, FACES_OF_EACH, invented_QD.shape[1]).sum(1), real_SD]))
    return TeacherTargets(to_device_if_it_fits(invented.pixels_u8, prototypes_PD.device), enlarge, prototypes_PD)
