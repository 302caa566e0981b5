"""A margin is one object: CosFace, written here, against its formula."""

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.training.data.loader import Batch
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax, TargetAngle


def cosface(target: TargetAngle) -> Tensor:
    """cos(theta) - 0.35 (Wang et al., CVPR 2018, arXiv:1801.09414, equation 4)."""
    return target.cosine_B1 - 0.35


def test_another_margin_needs_only_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    classifier = CosineClassifier(16, 5, 64.0, generator)
    e_BD, labels_B = 3 * torch.randn(8, 16, generator=generator), torch.randint(5, (8,), generator=generator)
    objective = MarginSoftmax(classifier, cosface, label_smoothing=0.1)
    cosine_BS = F.cosine_similarity(e_BD[:, None], classifier.weight[None], dim=2)
    logits_BS = 64 * (cosine_BS - 0.35 * F.one_hot(labels_B, 5))
    expected = F.cross_entropy(logits_BS, labels_B, label_smoothing=0.1, reduction="sum")
    found = objective(lambda inputs: inputs, Batch(e_BD, labels_B))
    torch.testing.assert_close(found.loss, expected)
    assert int(found.correct) == int((cosine_BS.argmax(1) == labels_B).sum())


def test_a_margin_sees_the_angle_and_the_length_of_the_embeddings() -> None:
    """As AdaFace needs them."""
    classifier = CosineClassifier(16, 5, 64.0, torch.Generator().manual_seed(0))
    seen: list[TargetAngle] = []

    def margin(target: TargetAngle) -> Tensor:
        seen.append(target)
        return target.cosine_B1

    e_BD, labels_B = 2 * F.normalize(torch.randn(4, 16)), torch.tensor([0, 3, 4, 1])
    with_margin, without = MarginSoftmax(classifier, margin).logits(e_BD, labels_B)
    torch.testing.assert_close(with_margin.detach(), without)
    (target,) = seen
    torch.testing.assert_close(target.cosine_B1**2 + target.sine_B1**2, torch.ones(4, 1))
    torch.testing.assert_close(target.e_BD.norm(dim=1), torch.full((4,), 2.0))


def test_the_state_has_the_keys_of_the_saved_states() -> None:
    one, other = (
        MarginSoftmax(CosineClassifier(16, 5, 64.0, torch.Generator().manual_seed(seed)), cosface) for seed in (0, 1)
    )
    other.load_state_dict(one.state_dict())
    assert list(one.state_dict()) == ["head"]
    assert list(one.state_dict()["head"]) == ["weight"]
    assert torch.equal(other.classifier.weight, one.classifier.weight)
