"""Small crops are enlarged as the evaluation enlarges them."""

import numpy as np
import pytest
import torch
from PIL import Image

from app.recognition.resampling import resize_face
from worker.training.data.preprocess import resize_bicubic


@pytest.mark.parametrize(("width", "height"), [(16, 16), (8, 8), (33, 39), (12, 30), (1, 5), (112, 112)])
def test_a_crop_is_enlarged_as_by_pytorch(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    ours = np.asarray(resize_face(Image.fromarray(pixels))).astype(int)
    theirs = resize_bicubic(torch.from_numpy(pixels).permute(2, 0, 1)[None], 112)[0].permute(1, 2, 0).numpy()
    differences = np.abs(ours - theirs)
    assert differences.max() <= 1
    assert (differences > 0).mean() < 0.001
