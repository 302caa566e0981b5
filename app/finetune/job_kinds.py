"""The kinds of jobs, in one table.

To add a kind, add a row here, to app/inputs/kinds.py (how its inputs are found and checked) and to worker/kinds.py (how
a worker runs it). Routes, lists, views, messages and commands read these tables. The Python client reads this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetJsonSchemaHandler, SerializeAsAny, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, union_schema

from app.finetune.artifact_names import BACKBONE_NAME, DSR_NAME, FULL_NAME
from app.finetune.config import FinetuneConfig
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import STORED, JobConfig
from app.finetune.model_export_config import ModelExportConfig
from app.finetune.state_dicts import Weights

FINETUNING = "finetuning"
DRY_RUN = "dry_run"
EVALUATION = "evaluation"
DSR_TRAINING = "dsr_training"
DATASET_CHECK = "dataset_check"
DATASET_IMPORT = "dataset_import"
MODEL_EXPORT = "model_export"

ALL_KINDS = "all"
"""In place of a kind: jobs of every kind."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of job."""

    name: str
    """The public name, as in `GET /jobs?kind=NAME`."""
    title: str
    """The name in sentences, with its article."""
    path: str
    """The path that takes its config by POST. The dry run of a kind has the path of that kind."""
    config: type[JobConfig]
    description: str
    """For the API's description of the path."""
    stored_as: str | None = None
    """The name in the rows. Default: `name`."""
    weights: Mapping[str, Weights] = field(default_factory=dict)
    """The fields of the config that name weights."""
    checkpoint: Mapping[str, str] = field(default_factory=dict)
    """The formats of its checkpoint and the names of their files. Empty: it makes no checkpoint."""
    makes: Mapping[Weights, str] = field(default_factory=dict)
    """The weights that other configs can name by `job:ID`, and the file of the checkpoint that has them."""
    evaluated: bool = False
    """Whether it writes an evaluation and a report."""
    exports: bool = False
    """Whether it writes the backbone as an ONNX file at its end."""
    dry_run_of: str | None = None
    """The kind whose duration, memory and disk space it predicts. Such a job leaves nothing but `estimate`."""
    own_answer: bool = False
    """Whether its path answers with something else than the job, by a route of its own."""
    instead_of_checkpoint: str = ""
    """A hint for a person who asks for its checkpoint, where it makes none."""
    instead_of_evaluation: str = ""
    """A hint for a person who asks for its evaluation, where it makes none."""

    @property
    def stored(self) -> str:
        return self.stored_as or self.name

    def decode(self, values: Mapping[str, Any]) -> JobConfig:
        """Return the config of a row. Raise pydantic's ValidationError where this version does not accept it."""
        return self.config.model_validate(values, context=STORED)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name=FINETUNING,
            title="a fine-tuning",
            path="/jobs",
            config=FinetuneConfig,
            description="Queue a fine-tuning.",
            weights={"edgeface": "EdgeFace", "dsr": "DSR"},
            checkpoint={"full": FULL_NAME, "backbone": BACKBONE_NAME},
            makes={"EdgeFace": "backbone"},
            evaluated=True,
            exports=True,
        ),
        Kind(
            name=DRY_RUN,
            title="a dry run",
            path="/jobs",
            config=FinetuneConfig,
            description="Queue a dry run of a fine-tuning.",
            stored_as="measurement",
            weights={"edgeface": "EdgeFace", "dsr": "DSR"},
            dry_run_of=FINETUNING,
            instead_of_checkpoint="`estimate` of GET /jobs/{id} is its result",
            instead_of_evaluation="`estimate` of GET /jobs/{id} is its result; POST /evaluations evaluates weights",
        ),
        Kind(
            name=EVALUATION,
            title="an evaluation",
            path="/evaluations",
            config=EvaluationConfig,
            description="Queue an evaluation. When it has succeeded, /jobs/{id}/evaluation has the result as JSON and "
            "/jobs/{id}/report as a page.",
            weights={"edgeface": "EdgeFace", "before": "EdgeFace", "dsr": "DSR"},
            evaluated=True,
            instead_of_checkpoint="GET /jobs/{id}/evaluation and GET /jobs/{id}/report are its result; the job or the "
            "file that `edgeface` of its config names has the weights",
        ),
        Kind(
            name=DSR_TRAINING,
            title="the training of a DSR network",
            path="/dsr-trainings",
            config=DsrTrainingConfig,
            description="Queue the training of a DSR network. /jobs/{id}/checkpoint has `dsr.pth` of the best epoch so "
            "far; `verdict` compares the network with direct feed and bicubic enlargement at the end.",
            weights={"edgeface": "EdgeFace", "dsr": "DSR"},
            checkpoint={"full": DSR_NAME},
            makes={"DSR": "full"},
            instead_of_evaluation="`recognition` of GET /jobs/{id} is its result; POST /evaluations with its dsr.pth "
            "as `dsr` measures it by every protocol",
        ),
        Kind(
            name=DATASET_CHECK,
            title="the check of a dataset",
            path="/datasets",
            config=DatasetCheckConfig,
            description="Register a dataset and queue the check of its images.",
            weights={"edgeface": "EdgeFace"},
            own_answer=True,
            instead_of_checkpoint="GET /datasets/{dataset} has its result",
            instead_of_evaluation="GET /datasets/{dataset} has its result; POST /evaluations evaluates weights",
        ),
        Kind(
            name=DATASET_IMPORT,
            title="the import of a dataset",
            path="/datasets",
            config=DatasetImportConfig,
            description="Make a dataset of an upload.",
            own_answer=True,
            instead_of_checkpoint="GET /datasets/{dataset} has its result",
            instead_of_evaluation="GET /datasets/{dataset} has its result; POST /evaluations evaluates weights",
        ),
        Kind(
            name=MODEL_EXPORT,
            title="the export of a model",
            path="/model-exports",
            config=ModelExportConfig,
            description="Queue a job that writes weights as an ONNX file, and compares it with PyTorch. When it has "
            "succeeded, /jobs/{id}/checkpoint?format=onnx has the file.",
            weights={"edgeface": "EdgeFace"},
            exports=True,
            instead_of_checkpoint="GET /jobs/{id}/checkpoint?format=onnx is its result",
            instead_of_evaluation="POST /evaluations evaluates the weights that `edgeface` of its config names",
        ),
    )
}
"""By public name."""


def known_kind(name: str) -> Kind | None:
    """Return the kind of this public or stored name, None where this version has none."""
    return next((kind for kind in KINDS.values() if name in (kind.name, kind.stored)), None)


def kind_of(name: str) -> Kind:
    """Return the kind of this public or stored name. Raise ConfigError where this version has none."""
    if (kind := known_kind(name)) is not None:
        return kind
    raise ConfigError(
        f"the job is of the kind {name!r}, which this version does not know",
        "it waits for the API and the workers of a later version",
    )


def stored_kinds() -> list[str]:
    """The names in the rows. A later version's job may have another: it is left to the workers of that version."""
    return [kind.stored for kind in KINDS.values()]


def submitted_apart() -> list[Kind]:
    """The kinds whose configs have a path of their own that answers with the job."""
    return [kind for kind in KINDS.values() if kind.path != KINDS[FINETUNING].path and not kind.own_answer]


def dry_run_of(name: str) -> Kind | None:
    """Return the kind that predicts the duration of jobs of the kind `name`."""
    return next((kind for kind in KINDS.values() if kind.dry_run_of == name), None)


def makers_of(weights: Weights) -> list[str]:
    """The kinds whose jobs make such weights."""
    return [kind.name for kind in KINDS.values() if weights in kind.makes]


def decode_config(kind: str, values: Mapping[str, Any]) -> JobConfig:
    """Return the config of a row. Raise as `kind_of` and `Kind.decode`."""
    return kind_of(kind).decode(values)


def _public_name(name: str) -> str:
    if (kind := known_kind(name)) is None:
        raise ValueError(f"{name!r} is none of {', '.join(KINDS)}")
    return kind.name


def _public_name_or_all(name: str) -> str:
    if name != ALL_KINDS and known_kind(name) is None:
        raise ValueError(f"{name!r} is none of {', '.join(KINDS)} and {ALL_KINDS}")
    return name if name == ALL_KINDS else _public_name(name)


def _decode_field(values: object, info: ValidationInfo) -> object:
    return decode_config(info.data["kind"], values) if isinstance(values, Mapping) and "kind" in info.data else values


class _KindSchema:
    """The names of the table as it is when the schema is made."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": list(KINDS)}


class _KindOrAllSchema:
    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": [*KINDS, ALL_KINDS]}


class _ConfigSchema:
    """Any of the configs of the table."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        configs = dict.fromkeys(kind.config for kind in KINDS.values())
        return handler(union_schema([config.__pydantic_core_schema__ for config in configs]))


JobKind = Annotated[str, AfterValidator(_public_name), _KindSchema()]
"""A field or parameter that takes the public or the stored name of a kind and becomes the public one."""

JobKindOrAll = Annotated[str, AfterValidator(_public_name_or_all), _KindOrAllSchema()]
"""Like `JobKind`, or `all`."""

AnyJobConfig = Annotated[SerializeAsAny[JobConfig], BeforeValidator(_decode_field), _ConfigSchema()]
"""A field that holds the config of any kind, in a model whose field `kind` comes before it."""
