"""Evaluations, of which a test gives what it is about."""

from typing import Any

from app.finetune.evaluation import EvaluatedOn, Evaluation


def make_evaluation(**fields: Any) -> Evaluation:
    """An evaluation of nobody by edgeface_xxs, with other values of these fields."""
    of_nobody: dict[str, Any] = {
        "verdict": "no clear difference",
        "changes": [],
        "recommended_threshold": None,
        "comparisons": [],
        "people": EvaluatedOn(directory="faces", subjects=0, vlr_images=0, hr_images=0, sizes=[]),
        "variant": "edgeface_xxs",
        "in_use": "bicubic",
        "enlargement": "bicubic",
        "resampler": "antialiased bicubic",
        "threshold": 0.35,
        "tta": False,
        "vlr_size": None,
        "draws": 1000,
        "device": "cpu",
        "seconds": 0.1,
        "warnings": [],
    }
    return Evaluation.model_validate(of_nobody | fields)
