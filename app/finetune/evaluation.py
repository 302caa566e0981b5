"""Evaluation: the results of an evaluation, as JSON that the trainer writes and the API serves.

Rates are in [0, 1]; scores and thresholds are cosines in [-1, 1]. A pair or search is accepted if it scores at or above
the threshold. FAR: false accept rate. TAR: true accept rate. FPIR: false positive identification rate. DIR: detection
and identification rate.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.finetune.job_warning import JobWarning

Backbone = Literal["given", "before", "after"]
"""`given`: the only backbone; otherwise `before` and `after` fine-tuning."""

Images = Literal["hr", "direct", "bicubic", "dsr"]
"""Images and their enlargement to 112 x 112, which EdgeFace needs. `hr`: the HR images. VLR images: `direct`, the
guide's pipeline without its DSR, which is a bilinear resize; `bicubic`, bicubic interpolation; `dsr`, the DSR network
followed by that bilinear resize."""

IMPOSTOR_PAIRS_NEEDED = {0.1: 100, 0.01: 1_000, 0.001: 10_000, 0.0001: 100_000}
"""The fewest impostor pairs by which TAR at a FAR is claimed: as many as give ten false accepts."""

TOO_FEW_PAIRS = "too few pairs"
"""Shown in place of a TAR at a FAR for which there are too few impostor pairs, wherever one is shown."""

NO_PAIRS = "no pairs"
"""Shown in place of a rate where there is no genuine or no impostor pair."""

Outcome = Literal["better", "worse", "not distinguishable", "too little data"]


class _Contract(BaseModel):
    """An evaluation of a later version may have further fields."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Interval(_Contract):
    """95 % interval by bootstrap over subjects."""

    low: float
    high: float


class Estimate(_Contract):
    """A measured value, or the reason why there is none, as in `too few pairs: 900 impostor pairs, and FAR 1% needs
    1,000`. `interval` is null if fewer than five subjects have a genuine pair or a mated search."""

    value: float | None = None
    interval: Interval | None = None
    refused: str | None = None

    @property
    def in_a_word(self) -> str:
        """What is shown in place of the value: the reason up to its colon."""
        return (self.refused or NO_PAIRS).partition(":")[0]


class OperatingPoint(_Contract):
    """TAR at a FAR. `threshold` is the smallest with FAR <= `far`."""

    far: float
    tar: Estimate
    threshold: float | None


class BestAccuracy(_Contract):
    """The LFW protocol over subjects: mean and standard error over `folds`, each tested at the threshold that is best
    for the others. Genuine and impostor pairs have equal weight. `threshold` is the mean over the folds."""

    accuracy: float
    standard_error: float
    threshold: float
    folds: int


class SweepPoint(_Contract):
    """Rates at one threshold; each comparison has its own recommended threshold among them. `accuracy` is the mean of
    the shares of genuine pairs accepted and impostor pairs rejected. `identified` is the guide's accuracy: the share of
    probes whose best match in the gallery is their own subject, at or above the threshold."""

    threshold: float
    far: float
    tar: float
    accuracy: float
    identified: float | None


class RocCurve(_Contract):
    """Points of the ROC curve by ascending FAR."""

    far: list[float]
    tar: list[float]


class ScoreHistogram(_Contract):
    """Numbers of pairs in bins of equal width from -1 to 1."""

    genuine: list[int]
    impostor: list[int]


class Verification(_Contract):
    """1:1 verification. `paired_subjects` counts the subjects with a genuine pair, on which the intervals rest."""

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
    """Closed-set identification. `mates` is `one` (a single gallery image per subject, averaged over its choices) or
    `all` (all images of each subject; the best score counts). Rank-k is refused in a gallery of k subjects or fewer.
    `cmc` has the rates of ranks 1, 2, ... up to 20 or the number of subjects."""

    mates: Literal["one", "all"]
    searches: int
    rank1: Estimate
    rank5: Estimate
    rank10: Estimate
    cmc: list[float]


class DetectionPoint(_Contract):
    """Open-set identification. DIR is the share of mated searches that return their own subject first, at or above the
    smallest threshold with FPIR <= `fpir`. FPIR is the share of non-mated searches that return a subject. `enrolled` is
    `all` if probes of people outside the gallery suffice as `non_mated_searches`; else `halves`: one half of the
    subjects is enrolled, then the other, and probes of subjects not enrolled are searched too."""

    fpir: float
    enrolled: Literal["all", "halves"]
    non_mated_searches: int
    dir: Estimate
    threshold: float | None


class Identification(_Contract):
    """1:N identification."""

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
        """Return the operating point of a FAR. Raises KeyError for a FAR that was not measured."""
        for point in self.verification.operating_points:
            if point.far == far:
                return point
        raise KeyError(far)


class Change(_Contract):
    """Effect of the fine-tuning or of the DSR, in one sentence and in numbers."""

    of: Literal["fine-tuning", "DSR"]
    outcome: Outcome
    sentence: str
    measure: str | None = Field(description="Such as `TAR@FAR=1%`; null with too little data.")
    baseline: Estimate = Field(description="Without the fine-tuning or the DSR.")
    achieved: Estimate = Field(description="With it.")
    difference: Estimate


class PairedDraws(_Contract):
    """TAR of the comparison in use in each bootstrap draw, for the paired difference to another evaluation of the same
    people: draw number i has the same subjects in both."""

    people: str = Field(description="sha256 of the subjects and of the names of all probes and HR images.")
    far: float
    tar: list[float | None] = Field(description="By draw; null in a draw without pairs.")


class EvaluatedOn(_Contract):
    """Subjects and images of the evaluation. `sizes` of the VLR files, the most frequent first: WIDTHxHEIGHT
    (COUNT)."""

    directory: str
    subjects: int
    vlr_images: int
    hr_images: int
    sizes: list[str]


class UsedFile(_Contract):
    """A weights file. `name` is that of the config."""

    name: str
    sha256: str


class Origin(_Contract):
    """What an evaluation was made from. `created_at` is ISO 8601 in UTC. `config` has every field of the job; `changed`
    has those of them that differ from the recipe and from the defaults."""

    job: str | None = Field(description="null at the terminal.")
    created_at: str
    version: str = Field(description="Of edgeface-finetune.")
    config: dict[str, Any]
    changed: dict[str, Any]
    weights: dict[Literal["edgeface", "before", "dsr"], UsedFile] = Field(
        description="`edgeface`: the backbone that is evaluated. `before`: the one that it is compared with."
    )


class Evaluation(_Contract):
    """All results. `recommended_threshold` is that of FAR 1 % (else of the best accuracy) for the comparison in use:
    VLR probes, enlarged by the DSR if there is one, against the HR gallery."""

    format_version: Literal[1] = 1
    verdict: str
    changes: list[Change]
    recommended_threshold: float | None
    comparisons: list[Comparison]
    people: EvaluatedOn
    variant: str
    in_use: Images = Field(description="Enlargement of the probes in use.")
    enlargement: str = Field(description="The same, in words.")
    resampler: str
    threshold: float = Field(
        description="The guide's fixed threshold, at which its accuracy is reported; not the recommended one."
    )
    tta: bool
    vlr_size: int | None
    draws: int = Field(description="Bootstrap draws behind the intervals.")
    paired: PairedDraws | None = Field(
        None, description="null with too few pairs or subjects, and in evaluations of version 0.2 and before."
    )
    device: str
    seconds: float
    warnings: list[JobWarning]
    origin: Origin | None = Field(None, description="null in evaluations of version 0.2 and before.")
