"""The words of the pages: statuses, verdicts, phases, and the meanings of terms."""

from app.api_models.models import Answer
from app.finetune.evaluation import Outcome
from app.finetune.job_kinds import (
    DATASET_CHECK,
    DATASET_IMPORT,
    DRY_RUN,
    DSR_TRAINING,
    EVALUATION,
    FINETUNING,
    MODEL_EXPORT,
)
from app.finetune.phases import Phase
from app.jobs.search import Sort
from app.jobs.states import JobStatus

KINDS: dict[str, str] = {
    FINETUNING: "fine-tuning",
    DRY_RUN: "dry run",
    EVALUATION: "evaluation",
    DSR_TRAINING: "DSR training",
    DATASET_CHECK: "dataset check",
    DATASET_IMPORT: "dataset import",
    MODEL_EXPORT: "ONNX export",
}
"""By the public name of the kind."""

STATUSES: dict[JobStatus, str] = {
    JobStatus.QUEUED: "Queued",
    JobStatus.PREPARING: "Preparing",
    JobStatus.RUNNING: "Running",
    JobStatus.CANCELLING: "Cancelling",
    JobStatus.PAUSING: "Pausing",
    JobStatus.PAUSED: "Paused",
    JobStatus.SUCCEEDED: "Succeeded",
    JobStatus.FAILED: "Failed",
    JobStatus.CANCELLED: "Cancelled",
}

SORTS: dict[Sort, str] = {Sort.NEWEST: "Newest first", Sort.BEST: "Best first", Sort.LONGEST: "Longest first"}

VERDICTS: dict[Outcome, tuple[str, str]] = {
    "better": ("better", "Better"),
    "worse": ("worse", "Worse"),
    "not distinguishable": ("even", "Cannot tell"),
    "too little data": ("even", "Cannot tell"),
}
"""What a verdict's chip is, and its word."""

PHASES: dict[Phase, str] = {
    "starting": "Starting",
    "unpacking": "Unpacking the upload",
    "building": "Building the dataset",
    "checking": "Checking",
    "preparing": "Preparing",
    "judging": "Judging names and alignment",
    "measuring": "Evaluating before",
    "comparing": "Comparing people",
    "teacher_targets": "Teacher targets",
    "stage_0": "DSR training",
    "stage_1": "Stage 1",
    "stage_2": "Stage 2",
    "trying": "Trying some steps",
    "evaluating": "Evaluating after",
    "writing": "Writing the report",
}

ANSWERS: dict[Answer, tuple[str, str]] = {
    "same": ("succeeded", "Same person"),
    "not": ("failed", "Not the same person"),
    "too_close": ("even", "Too close to say"),
    "unknown": ("even", "No threshold"),
}
"""The icon and the words of what a model says about two photos."""

MEANINGS: dict[str, tuple[str, str]] = {
    "tar": (
        "TAR at FAR 1%",
        "Of all photo pairs of one person, the share the model accepts, at the threshold where it wrongly accepts 1 in "
        "100 pairs of two people. 1.000 is perfect.",
    ),
    "auc": (
        "Score (AUC)",
        "How often a pair of photos of one person gets a higher similarity than a pair of two people. 0.5 is guessing, "
        "1 is perfect.",
    ),
    "interval": (
        "95% interval",
        "Where the true figure plausibly lies, had other people of this kind been asked. When the interval of the "
        "difference includes 0, nobody can tell better from worse.",
    ),
    "similarity": (
        "Similarity",
        "Cosine between two faces as the model sees them: 1 is the same picture, about 0 is two strangers.",
    ),
    "threshold": (
        "Threshold",
        "At or above it two photos count as one person. The recommended one lets 1 in 100 pairs of two people through "
        "(FAR 1%).",
    ),
    "rank1": ("Rank-1", "How often the most similar person of the gallery is the right one."),
    "separation": (
        "Separation (d')",
        "Distance between the similarities of same-person pairs and of two-person pairs, in standard deviations. "
        "Falling towards 0: the model makes everybody look alike.",
    ),
    "dsr": (
        "DSR",
        "A network that enlarges a very small face before it is recognised. Bicubic is plain interpolation, with no "
        "network.",
    ),
    "vlr": (
        "VLR",
        "Very low resolution: faces of about 8 to 32 pixels, as a camera sees people far away. HR are the same faces "
        "at full size.",
    ),
    "margin": (
        "Margin",
        "An angle that ArcFace adds to the right answer while it trains, so that people end up further apart.",
    ),
    "alignment": (
        "Alignment",
        "How far eyes, nose and mouth lie from where EdgeFace expects them. Faces that are off by pixels cost more "
        "than any training wins.",
    ),
    "recipe": ("Recipe", "A set of defaults. What you set yourself stands in either."),
    "checkpoint": (
        "Checkpoint",
        "The trained weights of one epoch. The best one can be downloaded while training goes on.",
    ),
    "insecure": (
        "Open to everybody",
        "The service asks for no API key: everybody who reaches it can do everything. Make a key to end that: "
        "edgeface-finetune keys create NAME --scope admin",
    ),
}
"""The title and the meaning of each term, at most two sentences, for the hints."""
