"""Model files and their runtime, LiteRT. `models/README.md` has the origin of the files."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from app.alignment.announcement import without_announcement
from app.alignment.errors import AlignModelDamaged

Tensor = npt.NDArray[np.float32]

_MODELS = Path(__file__).parent / "models"
_SHA256 = {
    "face_detection_short_range": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_detection_full_range_sparse": "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "face_landmark": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
}


class Network:
    """A model that runs on one thread. Not thread-safe. HWC: height, width, colour."""

    def __init__(self, name: str) -> None:
        self._interpreter = Interpreter(model_content=_content(name), num_threads=1)
        with without_announcement():
            self._interpreter.allocate_tensors()
        (shown,) = self._interpreter.get_input_details()
        self._input: int = shown["index"]
        self.side = int(shown["shape"][1])
        self._outputs: list[int] = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, x_HWC: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for one `side` x `side` RGB image, without the batch dimension."""
        self._interpreter.set_tensor(self._input, x_HWC[np.newaxis])
        self._interpreter.invoke()
        return tuple(self._interpreter.get_tensor(output)[0] for output in self._outputs)


@cache
def _content(name: str) -> bytes:
    path = _MODELS / f"{name}.tflite"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise AlignModelDamaged(path)
    return content
