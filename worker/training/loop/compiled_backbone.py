"""The backbone by torch.compile, from a cache on the disk: a training never waits for a cold compilation.

`edgeface-finetune compile` fills `VAR_DIR/compiled/KEY`, the compiler's cache for one network, GPU and size of batch,
and writes a marker when a second process loaded the network from it. Decision 0018.
"""

import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor

from app.finetune.artifact_names import COMPILED_MARKER
from app.finetune.counted import counted
from worker.training.data.loader import Batch
from worker.training.loop.graphed_step import Gradients
from worker.training.loop.step import ForwardBackward
from worker.training.models import depthwise, edgeface, edgenext, layout
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed_faces
from worker.training.models.layout import is_contiguous
from worker.training.runtime.control import Control
from worker.training.runtime.device import FLOAT32, Precision
from worker.training.storage.atomic import write_bytes_whole

FORMAT_VERSION = 1

SAVED_SECONDS_A_STEP = 0.0007
"""What a compiled backbone saves of a graphed step: the low end of an estimate for an H200 at batch 32 in bf16 (1.8 to
2.5 ms graphed, 0.7 to 1.1 ms compiled and graphed). Not measured on a GPU."""

_ALLOWED = 1.5
_ROUNDING = (1e-5, 1e-4)
"""Differences that float32 itself has, of all gradients together and of one parameter's."""

_SOURCES = (edgeface, edgenext, depthwise, layout)


def pays(steps_left: int, load_seconds: float) -> bool:
    """Whether a stage with so many steps left saves more time by a compiled backbone than loading it takes."""
    return steps_left * SAVED_SECONDS_A_STEP > load_seconds


@dataclass(frozen=True)
class CompilerCache:
    """The folder of one compiled network. Any number of processes may use it at once."""

    folder: Path

    @property
    def _marker(self) -> Path:
        return self.folder / COMPILED_MARKER

    def load_seconds(self) -> float | None:
        """The seconds that loading took when the folder was filled; None where the folder is not whole."""
        try:
            said = json.loads(self._marker.read_text())
            if all((self.folder / name).is_file() for name in said["files"]):
                return float(said["load_seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def mark_whole(self, load_seconds: float, control: Control) -> None:
        """Raises DiskFull."""
        files = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]
        said = {"load_seconds": load_seconds, "files": sorted(name for name in files if not name.endswith(".lock"))}
        write_bytes_whole(self._marker, json.dumps(said).encode(), control)

    def forget(self) -> None:
        """From here on no process loads the network from this folder."""
        self._marker.unlink(missing_ok=True)

    def use(self) -> None:
        """Let this process compile with this folder. The marker's modification time is that of the last use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.folder)
        os.environ["TRITON_CACHE_DIR"] = str(self.folder / "triton")
        if self._marker.exists():
            os.utime(self._marker)


def cache_of(
    compiled_dir: Path, backbone: EdgeFace, device: torch.device, precision: Precision, batch_size: int
) -> CompilerCache:
    """The folder in `compiled_dir` whose name says all that the compiled network depends on."""
    shapes = [(name, *parameter.shape) for name, parameter in backbone.named_parameters()]
    made_from = [
        FORMAT_VERSION,
        *(_version_of(package) for package in ("torch", "triton")),
        timm.__version__,
        torch.version.cuda,
        *_described(device),
        hashlib.sha256(repr(shapes).encode()).hexdigest(),
        batch_size,
        precision.name,
        "contiguous" if is_contiguous(backbone) else "channels_last",
        *(hashlib.sha256(Path(cast("str", source.__file__)).read_bytes()).hexdigest() for source in _SOURCES),
    ]
    return CompilerCache(compiled_dir / hashlib.sha256(json.dumps(made_from).encode()).hexdigest())


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _described(device: torch.device) -> list[object]:
    """Compiled code names the GPU by its number."""
    if device.type != "cuda":
        return [str(device)]
    return [str(device), torch.cuda.get_device_name(device), list(torch.cuda.get_device_capability(device))]


class CompiledBackbone:
    """A `Model`: `backbone` in training mode, by torch.compile. Its first call compiles it, or loads it."""

    def __init__(self, backbone: EdgeFace, precision: Precision, backend: str) -> None:
        self._backbone = backbone
        self._precision = precision
        self._backend = backend
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        if self._compiled is None:  # torch.compile imports its compiler, which takes seconds
            self._compiled = torch.compile(self._backbone, dynamic=False, fullgraph=True, backend=self._backend)
        # The strides are part of the compiler's key: whoever fills the cache and whoever loads it have the same.
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        e_BD: Tensor = self._compiled(x_BCHW, self._precision.products_in)
        return e_BD


@dataclass(frozen=True)
class Comparison:
    """The gradients of one batch by the compiled and by the uncompiled backbone, each against float32: the relative
    difference of all together, and the largest of one parameter.

    `seconds` took the compiled backbone; `cold` graphs were not in the cache. `is_finite`: the gradients in float32.
    """

    compiled: tuple[float, float]
    uncompiled: tuple[float, float]
    seconds: float
    cold: int
    is_finite: bool

    @property
    def is_right(self) -> bool:
        """The compiled backbone rounds no worse than the uncompiled one."""
        return all(
            found <= max(_ALLOWED * other, least)
            for found, other, least in zip(self.compiled, self.uncompiled, _ROUNDING, strict=True)
        )

    def __str__(self) -> str:
        (whole, worst), (other_whole, other_worst) = self.compiled, self.uncompiled
        return (
            f"its gradients differ from those in float32 by {whole:.1e}, of one parameter by {worst:.1e} at most; "
            f"without it {other_whole:.1e} and {other_worst:.1e}"
        )


@dataclass(frozen=True)
class Compiling:
    """The choice of a compiled backbone for batches of `batch_size`, in a stage with `steps_left`.

    `gradients` are by the compiled backbone, `in_float32` operation by operation in float32. `cache` is called where
    the choice is made, since the layout of the network may have changed.
    """

    gradients: Gradients
    in_float32: Gradients
    batch_size: int
    steps_left: int
    cache: Callable[[], CompilerCache]

    def why_not(self, size: int) -> str | None:
        """Why batches of this size are not computed by a compiled backbone; None where they are, once compared."""
        if size != self.batch_size:
            return f"only batches of {self.batch_size} are compiled"
        seconds = self.cache().load_seconds()
        if seconds is None:
            return "nothing is compiled for this network, GPU and size of batch: run `edgeface-finetune compile`"
        if not pays(self.steps_left, seconds):
            return f"it would not pay: {counted(self.steps_left, 'step')} left, {seconds:.1f} s to load"
        return None

    def compare(self, batch: Batch, uncompiled: Gradients) -> Comparison:
        """Load the compiled backbone, or compile it where the cache is not whole, and compare. No weight changes.

        A cache that turns out not to have everything is forgotten. Raises what the compiler raises.
        """
        cache = self.cache()
        cache.use()
        expected, _ = self.in_float32(batch)
        other, _ = uncompiled(batch)
        cold, started = _count_cold(), time.monotonic()
        found, _ = self.gradients(batch)
        differences = _differences(found, expected), _differences(other, expected)  # waits for the device
        seconds, cold = time.monotonic() - started, _count_cold() - cold
        if cold:
            cache.forget()
        is_finite = bool(torch.stack([each.isfinite().all() for each in expected]).all())
        return Comparison(*differences, seconds, cold, is_finite)


def compiling_of(
    step: ForwardBackward,
    backbone: EdgeFace,
    device: torch.device,
    precision: Precision,
    *,
    batch_size: int,
    steps_left: int,
    compiled_dir: Path,
    backend: str = "inductor",
) -> Compiling:
    """For `step`, which trains `backbone`."""
    reference = replace(step, model=partial(embed_faces, backbone, precision=FLOAT32))
    compiled = replace(step, model=CompiledBackbone(backbone, precision, backend))
    return Compiling(
        gradients=compiled.gradients,
        in_float32=reference.gradients,
        batch_size=batch_size,
        steps_left=steps_left,
        cache=partial(cache_of, compiled_dir, backbone, device, precision, batch_size),
    )


def _differences(found: Sequence[Tensor], expected: Sequence[Tensor]) -> tuple[float, float]:
    """|a - b| / |b| of all together, and the largest of one of them; infinite for NaN."""
    apart = torch.stack([(one.float() - other).norm() for one, other in zip(found, expected, strict=True)])
    sizes = torch.stack([each.norm() for each in expected]).clamp_min(torch.finfo(torch.float32).tiny)
    shares = torch.stack([apart.norm() / sizes.norm(), (apart / sizes).max()])
    whole, worst = shares.nan_to_num(nan=float("inf")).tolist()
    return whole, worst


def _count_cold() -> int:
    """The graphs that this process compiled because no cache had them."""
    utils = sys.modules.get("torch._dynamo.utils")  # imported by the first compilation
    if utils is None:
        return 0
    inductor = utils.counters["inductor"]
    return int(inductor["fxgraph_cache_miss"] + inductor["fxgraph_cache_bypass"])
