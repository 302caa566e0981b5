"""Evaluation: what was measured of a backbone, as JSON that the trainer writes and everybody reads.

Rates are in 0..1, scores and thresholds cosines in -1..1. A pair or search is accepted that scores at or above the
threshold.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.finetune.job_warning import JobWarning

Backbone = Literal["given", "before", "after"]
"""`given`: the only one; otherwise before and after fine-tuning."""

Images = Literal["hr", "direct", "bicubic", "dsr"]
"""How faces come to 112 x 112. `hr`: the HR images. Of VLR images, `direct`: the guide's pipeline with its DSR taken
out, which leaves the plain bilinear resize at its end; `bicubic`: bicubic interpolation; `dsr`: the DSR network, then
that bilinear resize. EdgeFace takes nothing smaller than 112 x 112: there is no feeding without enlarging."""

Outcome = Literal["better", "worse", "not distinguishable", "too little data"]


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(_Contract):
    """95 %, by bootstrap over subjects."""

    low: float
    high: float


class Estimate(_Contract):
    """A measured number. `refused` says why there is none; `interval` is null where fewer than five
    subjects have a genuine pair or a mated search."""

    value: float | None = None
    interval: Interval | None = None
    refused: str | None = None


class OperatingPoint(_Contract):
    """`threshold` is the smallest that keeps FAR at or under `far`, never over it."""

    far: float
    tar: Estimate
    threshold: float | None


class BestAccuracy(_Contract):
    """The LFW protocol over subjects: mean and standard error over `folds`, each tried with the threshold that is best
    for the others; genuine and impostor pairs weigh alike. `threshold` is the mean of them."""

    accuracy: float
    standard_error: float
    threshold: float
    folds: int


class SweepPoint(_Contract):
    """What one threshold gives. `accuracy` is the mean of the genuine pairs accepted and impostor pairs rejected;
    `identified` the guide's measure: the share of probes whose best match in the gallery is their own subject, at or
    above the threshold."""

    threshold: float
    far: float
    tar: float
    accuracy: float
    identified: float | None


class RocCurve(_Contract):
    """Some points of it, FAR rising."""

    far: list[float]
    tar: list[float]


class ScoreHistogram(_Contract):
    """Pairs in bins of equal width from -1 to 1."""

    genuine: list[int]
    impostor: list[int]


class Verification(_Contract):
    """1:1: is this the same person? `paired_subjects` are those with a genuine pair, whom the intervals rest on."""

    genuine_pairs: int
    paired_subjects: int
    impostor_pairs: int
    auc: Estimate
    eer: Estimate
    operating_points: list[OperatingPoint]
    best_accuracy: BestAccuracy | None = Field(description="null with fewer than four subjects.")
    genuine_mean: float | None = Field(description="null without pairs, as are the curve and the sweep's rates.")
    impostor_mean: float | None
    d_prime: float | None
    sweep: list[SweepPoint]
    roc: RocCurve | None
    histogram: ScoreHistogram


class RankRates(_Contract):
    """Closed set. `mates` is `one`: a single gallery image per subject, averaged over the choices of it; or `all`: all
    images of each subject, the best of which counts. Rank-k is refused in a gallery of k subjects or fewer.
    `cmc` has ranks 1, 2, ... up to 20 or the number of subjects."""

    mates: Literal["one", "all"]
    searches: int
    rank1: Estimate
    rank5: Estimate
    rank10: Estimate
    cmc: list[float]


class DetectionPoint(_Contract):
    """Open set: the share of mated searches that return their own subject first, at or above the smallest threshold
    that keeps FPIR, the share of non-mated searches that return anybody, at or under `fpir`. `enrolled`: `all` of the
    gallery's subjects, where probes of anybody else suffice as `non_mated_searches`; otherwise `halves`, one half of
    the subjects and then the other, and whoever is not enrolled is searched for too."""

    fpir: float
    enrolled: Literal["all", "halves"]
    non_mated_searches: int
    dir: Estimate
    threshold: float | None


class Identification(_Contract):
    """1:N: who is this?"""

    gallery_subjects: int
    closed_set: list[RankRates]
    open_set: list[DetectionPoint]


class Comparison(_Contract):
    """One row of the table: probes of one kind against a gallery, by one backbone."""

    backbone: Backbone
    probes: Images
    gallery: Images
    verification: Verification
    identification: Identification

    def tar_at(self, far: float) -> OperatingPoint:
        """Raises KeyError for a FAR that is not measured."""
        for point in self.verification.operating_points:
            if point.far == far:
                return point
        raise KeyError(far)


class Change(_Contract):
    """What the fine-tuning or the DSR has brought, in one sentence and in numbers."""

    of: Literal["fine-tuning", "DSR"]
    outcome: Outcome
    sentence: str
    measure: str | None = Field(description="Such as `TAR@FAR=1%`; null with too little data.")
    baseline: Estimate = Field(description="Without the fine-tuning or the DSR.")
    achieved: Estimate = Field(description="With it.")
    difference: Estimate


class EvaluatedOn(_Contract):
    """The people and images. `sizes`: those of the VLR files, the most frequent first, as WIDTHxHEIGHT (COUNT)."""

    directory: str
    subjects: int
    vlr_images: int
    hr_images: int
    sizes: list[str]


class Evaluation(_Contract):
    """All of it. The `recommended_threshold` is that of FAR 1 % (else of the best accuracy) for the comparison in use:
    VLR probes, enlarged by the DSR where there is one, against the HR gallery."""

    format_version: Literal[1] = 1
    verdict: str
    changes: list[Change]
    recommended_threshold: float | None
    comparisons: list[Comparison]
    people: EvaluatedOn
    variant: str
    in_use: Images = Field(description="How the probes are enlarged in use.")
    enlargement: str = Field(description="The same, in words.")
    resampler: str
    threshold: float = Field(description="That of the guide's measure.")
    tta: bool
    vlr_size: int | None
    draws: int = Field(description="Bootstrap draws behind the intervals.")
    device: str
    seconds: float
    warnings: list[JobWarning]
