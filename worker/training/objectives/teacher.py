"""The faces of synthetic identities, and the teacher's embeddings of all identities, made before the training."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FACES_OF_EACH, FinetuneConfig
from worker.training.data.face_cache import PreparedFaces
from worker.training.data.preprocess import Faces
from worker.training.data.synthetic_identities import draw_identities, synthetic_key
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import FORWARD_WORK, SYNTHESIS_WORK
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import Progress

# Shape suffixes: N training faces, Q = 8 faces of each synthetic identity, P identities: the synthetic ones, then the S
# real ones, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is uint8; embeddings are L2-normalised.


def make_synthetic_identities(
    config: FinetuneConfig,
    hr: Faces,
    hr_digest: str,
    labels_N: Tensor,
    prepared_dir: Path,
    progress: Progress,
    control: Control,
) -> Faces:
    """The faces of `config.synthetic_identities` identities, from the train set's HR faces with class ids `labels_N`.

    They are kept in `prepared_dir`. Raises DiskFull and StopRequested.
    """
    identities, seed = config.synthetic_identities, config.seed
    count, store = identities * FACES_OF_EACH, PreparedFaces(prepared_dir, control)
    key = synthetic_key(hr_digest, identities, seed)
    found = store.find(key, count)
    if found is None:
        with profiled("synthetic identities"):
            drawn = draw_identities(labels_N, identities, seed)

            def made() -> Iterator[Faces]:
                for faces in drawn.faces(hr.pixels_u8):
                    yield faces
                    progress.advance(len(faces.pixels_u8) * SYNTHESIS_WORK)

            found = store.make(key, count, made)
    else:
        progress.advance(count * SYNTHESIS_WORK)
    return found


def teacher_embeddings(
    teacher: EdgeFace,
    hr_u8_NCHW: Tensor,
    synthetic_u8_QCHW: Tensor,
    labels_N: Tensor,
    device: torch.device,
    parallel: CpuParallel,
    progress: Progress,
    control: Control,
) -> Tensor:
    """The teacher's embeddings [P, 512] of all identities, on `device`: the means over their HR faces.

    `labels_N`, on `device`, are the class ids of the train set's HR faces. Raises OutOfMemory and StopRequested.
    """

    @profiled("teacher embeddings")
    def embedded(faces_u8_NCHW: Tensor) -> Tensor:
        # A clone made outside of inference mode, through which gradients may flow to what it is compared with.
        return embed(teacher, faces_u8_NCHW, device, on_faces, parallel=parallel).clone()

    def on_faces(count: int) -> None:
        progress.advance(count * FORWARD_WORK)
        control.refuse_if_stopped()

    real_ND, synthetic_QD = embedded(hr_u8_NCHW), embedded(synthetic_u8_QCHW)
    real_SD = real_ND.new_zeros(int(labels_N.max()) + 1, real_ND.shape[1]).index_add_(0, labels_N, real_ND)
    return F.normalize(torch.cat([synthetic_QD.view(-1, FACES_OF_EACH, synthetic_QD.shape[1]).sum(1), real_SD]))
