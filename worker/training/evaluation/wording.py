"""Labels of backbones and kinds of images at the terminal and in the report."""

from app.finetune.evaluation import Backbone, Comparison, Images

BACKBONES: dict[Backbone, str] = {"given": "as given", "before": "before", "after": "after"}

WEIGHTS = {"edgeface": "backbone", "before": "compared with", "dsr": "DSR"}

IMAGES: dict[Images, str] = {"hr": "HR", "direct": "VLR direct", "bicubic": "VLR bicubic", "dsr": "VLR DSR"}


def guides_accuracy(comparison: Comparison, threshold: float) -> float | None:
    """Return the share identified at a threshold of the sweep. None without pairs or mated searches."""
    return next((point.identified for point in comparison.verification.sweep if point.threshold == threshold), None)
