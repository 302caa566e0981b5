"""The metrics of one epoch.

This is their only definition. The trainer emits it, the table `epochmetric` has a column for each field, and the API
sends it. A new metric is a new optional field here and an Alembic migration that adds its column.
"""

from pydantic import BaseModel, ConfigDict, Field

from app.finetune.checkpoint import Stage
from app.finetune.event_data import EventData


class EpochMetrics(EventData, BaseModel):
    """One epoch. Accuracies are in 0..1. Val metrics are null in epochs without validation. A metric of fine-tuning is
    null for a DSR network, and the other way round."""

    model_config = ConfigDict(frozen=True)

    stage: Stage = Field(
        description="0: a DSR network. 1: the ArcFace head. 2: the backbone, with the head or the prototypes of "
        "identities."
    )
    epoch: int = Field(description="Counts from 1 in each stage.")
    epochs: int = Field(description="Epochs planned in this stage.")
    train_loss: float = Field(
        description="Mean over the training faces. For a DSR network the weighted sum of its three parts."
    )
    train_accuracy: float | None = Field(
        None,
        description="Share of the augmented train faces whose most similar class is their own, without the ArcFace "
        "margin, by the weights at their step. With synthetic identities the classes are these and train's subjects.",
    )
    val_loss: float | None = None
    val_accuracy: float | None = Field(None, description="null where no val subject is in train.")
    val_auc: float | None = Field(None, description="Verification AUC of VLR probes against the HR gallery of val.")
    val_tar_at_far_1_percent: float | None = Field(
        None,
        description="TAR at FAR 1% of the same pairs as `val_auc`, 0..1; null with fewer than 1,000 impostor pairs.",
    )
    val_genuine_similarity: float | None = Field(
        None, description="Mean cosine between val images of the same subject, -1..1."
    )
    val_impostor_similarity: float | None = Field(
        None,
        description="Mean cosine between val images of different subjects. In a collapse it nears the genuine one.",
    )
    val_d_prime: float | None = Field(None, description="Distance between the two means, in standard deviations.")
    head_lr: float | None = None
    backbone_lr: float | None = Field(None, description="null in stage 1: the backbone is frozen.")
    seconds: float
    images_per_second: float
    best: bool = Field(
        description="Whether this epoch's checkpoint replaced the one before: it was the best so far, or with "
        "`keep: last` the last one validated."
    )
    train_pixel_loss: float | None = Field(
        None, description="For a DSR network, unweighted, like the two losses that follow."
    )
    train_perceptual_loss: float | None = None
    train_identity_loss: float | None = None
    val_psnr: float | None = Field(
        None, description="Decibels: val's super-resolved faces of all sizes against the HR faces."
    )
    val_ssim: float | None = Field(None, description="-1..1, for the same faces.")
    val_identity: float | None = Field(
        None, description="Mean cosine between the embeddings of a super-resolved face and of its HR image, -1..1."
    )
    dsr_lr: float | None = None


class EpochFinished(EpochMetrics):
    """An epoch of fine-tuning is over, and its checkpoint, if any, is written."""

    train_accuracy: float
    head_lr: float


class DsrEpochFinished(EpochMetrics):
    """An epoch of a DSR network is over. It always validates."""

    train_pixel_loss: float
    train_perceptual_loss: float
    train_identity_loss: float
    val_psnr: float
    val_ssim: float
    val_identity: float
    dsr_lr: float
