"""The margin of ArcFace.

Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019,
arXiv:1801.07698, equation 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.training.objectives.margin_softmax import TargetAngle


@dataclass(frozen=True)
class ArcFaceMargin:
    """cos(theta + m), with `angle` m in radians, 0 <= m < pi / 2.

    Past theta = pi - m, where the cosine would rise again, its mirror image -2 - cos(theta + m): the result falls over
    all of 0..pi and is continuous with its slope (the continuation of SphereFace, Liu et al., CVPR 2017, equation 7),
    where the authors' code jumps down to cos(theta) - m * sin(m).
    """

    angle: float

    def __call__(self, target: TargetAngle) -> Tensor:
        cosine_B1, sine_B1 = target.cosine_B1, target.sine_B1
        shifted_B1 = cosine_B1 * math.cos(self.angle) - sine_B1 * math.sin(self.angle)
        return torch.where(cosine_B1 > -math.cos(self.angle), shifted_B1, -2.0 - shifted_B1)
