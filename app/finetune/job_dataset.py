"""How a job reads its folders, as its row and its answer have it."""

from pydantic import BaseModel, Field


class JobDataset(BaseModel):
    """How a job reads one of its folders. The job keeps it, whatever becomes of the dataset's record."""

    field: str = Field(description="The field of the config: `train_dir`, `val_dir` or `eval_dir`.")
    dataset: str = Field(description="Id of the dataset's record.")
    name: str = Field(description="Name of the dataset.")
    part: str = Field(description="Folder of the part in the dataset. `.`: the dataset is the part.")
    subject_pattern: str
    manifest: str | None = Field(
        None, description="Digest of the manifest that the images must agree with. null: they were not checked before."
    )
