"""Prepares HR faces: decodes them once into the face cache and embeds them once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.errors import ChangedWhileRead
from worker.training.data.face_cache import PreparedFaces, prepared_key
from worker.training.data.preprocess import Faces, enlarge_bicubic, enlarge_images
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.storage.digests import digest_images, refuse_unreadable

# Shape suffixes: N faces, M faces of a microbatch, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is
# uint8 in [0, 255].

_FACES_AT_ONCE = 256


def prepare_hr(paths: tuple[Path, ...], digest: str, prepared_dir: Path, threads: int, control: Control) -> Faces:
    """Prepare HR faces at 112 x 112, shared with the gallery of a fine-tuning. `digest` is that of the files.

    Raises UnreadableImages, ChangedWhileRead, DiskFull and StopRequested.
    """
    store, key = PreparedFaces(prepared_dir, control), prepared_key(digest)
    if (kept := store.find(key, len(paths))) is not None:
        return kept
    refuse_unreadable(paths, threads, control)

    def decoded() -> Iterator[Faces]:
        yield from enlarge_images(paths, enlarge_bicubic, threads=threads)
        if digest_images(paths, threads, control) != digest:
            raise ChangedWhileRead(paths[0].parent)

    return store.make(key, len(paths), decoded)


def embed_both_ways(
    edgeface: EdgeFace,
    faces_u8_NCHW: Tensor,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
    *,
    parallel: CpuParallel,
) -> Tensor:
    """Embed faces, plain and mirrored: [2, N, 512] on the CPU. The faces may be a memory map larger than memory.

    `on_faces` is called with the number of further faces done, and may raise. Raises OutOfMemory.
    """
    e_ND = embed(edgeface, faces_u8_NCHW, device, on_faces, parallel=parallel).cpu()
    mirrored_e_ND = torch.cat(
        [
            embed(edgeface, some_u8_MCHW.flip(3), device, on_faces, parallel=parallel).cpu()
            for some_u8_MCHW in torch.split(faces_u8_NCHW, _FACES_AT_ONCE)
        ]
    )
    return torch.stack([e_ND, mirrored_e_ND])
