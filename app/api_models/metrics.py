"""Metrics of training epochs and of recognition."""

from typing import Literal

from pydantic import BaseModel, Field


class EpochView(BaseModel):
    """Metrics of one epoch. Accuracies are in 0..1, computed without the ArcFace margin. Val metrics are null for
    epochs without validation. Metrics of a DSR training are null for a fine-tuning, and vice versa."""

    stage: Literal[0, 1, 2] = Field(description="0: DSR training. 1: ArcFace head. 2: backbone and head.")
    epoch: int = Field(description="Counts from 1 in each stage.")
    epochs: int = Field(description="Planned epochs of the stage.")
    train_loss: float = Field(description="For a DSR training, the weighted sum of its three losses.")
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None = Field(description="null if no val subject is in train.")
    val_auc: float | None = Field(description="Verification AUC of VLR probes against the HR gallery of val.")
    val_genuine_similarity: float | None = Field(
        description="Mean cosine similarity of val images of the same subject, -1..1."
    )
    val_impostor_similarity: float | None = Field(
        description="Mean cosine similarity of val images of different subjects, -1..1. If it rises towards the "
        "genuine similarity, the embeddings collapse."
    )
    val_d_prime: float | None = Field(description="Distance of the two means in standard deviations.")
    head_lr: float | None
    backbone_lr: float | None = Field(description="null in stage 1, where the backbone is frozen.")
    seconds: float
    images_per_second: float
    best: bool = Field(description="Whether this epoch was the best so far.")
    train_pixel_loss: float | None = Field(description="DSR training: unweighted pixel loss.")
    train_perceptual_loss: float | None = Field(description="DSR training: unweighted perceptual loss.")
    train_identity_loss: float | None = Field(description="DSR training: unweighted identity loss.")
    val_psnr: float | None = Field(description="DSR training: PSNR of super-resolved val faces in decibels.")
    val_ssim: float | None = Field(description="DSR training: SSIM of super-resolved val faces, -1..1.")
    val_identity: float | None = Field(
        description="DSR training: mean cosine similarity of the embeddings of a super-resolved face and its HR image, "
        "-1..1."
    )
    dsr_lr: float | None


class Metrics(BaseModel):
    """All epochs, in the order of training."""

    job_id: str
    epochs: list[EpochView]


class RecognitionView(BaseModel):
    """Recognition of VLR probes against the HR gallery of val, over all pairs except an image with itself. Rates are in
    0..1. For a DSR training, the probes have all its VLR sizes, and the frozen EdgeFace embeds them."""

    auc: float | None
    rank1: float | None = Field(
        description="One HR gallery image per subject; the mean over all choices of that image."
    )
    tar_at_far_1_percent: float | None
    tar_at_far_01_percent: float | None = Field(description="TAR at FAR 0.1%.")
    genuine_pairs: int
    impostor_pairs: int


class RecognitionChange(BaseModel):
    """Recognition before and after: with the initial and the exported weights of a fine-tuning, or with bicubic
    interpolation and the trained network of a DSR training."""

    before: RecognitionView | None
    after: RecognitionView | None
    verdict: str | None = Field(description="One sentence: whether recognition improved.")
