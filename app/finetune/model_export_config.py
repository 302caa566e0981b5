"""ModelExportConfig: the schema of a job that writes weights as an ONNX file."""

from pydantic import ConfigDict, Field

from app.finetune.job_config import JobConfig, Name


class ModelExportConfig(JobConfig):
    """The weights to write as an ONNX file. Unknown fields are refused."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"edgeface": "edgeface_xxs.pt"}]})

    edgeface: Name = Field(
        description="EdgeFace weights: a file that GET /weights lists, or `job:ID`, the best backbone of a succeeded "
        "fine-tuning."
    )

    @property
    def summary(self) -> str:
        return f"ONNX file of {self.edgeface}"
