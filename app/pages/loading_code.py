"""Python code that loads a job's file, to be copied."""

from app.finetune.architectures import EDGEFACE_VARIANTS

_TIMM = """\
import timm
import torch

checkpoint = torch.load("{file}", weights_only=True)
backbone = timm.create_model("{timm_name}", num_classes=512)
weights = checkpoint["backbone_state_dict"]
backbone.load_state_dict({{key.removeprefix("model."): value for key, value in weights.items()}})
backbone.eval()  # takes RGB faces of 112 x 112, normalised by mean 0.5 and std 0.5
"""
_HUB = """\
import torch

checkpoint = torch.load("{file}", weights_only=True)
backbone = torch.hub.load("otroshi/edgeface", "{variant}", source="github", pretrained=False)
backbone.load_state_dict(checkpoint["backbone_state_dict"])
backbone.eval()  # takes RGB faces of 112 x 112, normalised by mean 0.5 and std 0.5
"""


def loading_code(variant: str | None, file: str) -> str | None:
    """Return the code for a checkpoint of a fine-tuning; None where the variant is unknown.

    Variants with low-rank layers are not in timm: the official model has them.
    """
    found = EDGEFACE_VARIANTS.get(variant or "")
    if found is None:
        return None
    template = _TIMM if found.gamma is None else _HUB
    return template.format(file=file, timm_name=found.timm_name, variant=found.name)
