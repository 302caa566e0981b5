"""What is wrong with a config is said in plain words, with the same text by the API and by the commands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.cli.service import edgeface_finetune
from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.field_messages import PATTERNS, field_messages
from app.finetune.field_names import suggest_field
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import KINDS
from app.finetune.json_text import read_object
from app.main import create_app
from app.settings import Settings

CONFIGS: tuple[type[JobConfig], ...] = (FinetuneConfig, EvaluationConfig, DsrTrainingConfig)
WRONG_VALUES: list[Any] = [
    None,
    "",
    "x",
    "X\n",
    "mps",
    -1,
    0,
    1.5,
    10**12,
    10**400,
    float("nan"),
    float("inf"),
    True,
    [],
    [1],
    {},
    "é" * 600,
]
INTERNAL = re.compile(
    r"Input should|valid |regex|pattern|unable|Value error|instance|dictionary|parse|\^|\\x|Field required|tuple"
)
"""Phrases of pydantic that mean nothing to a person who writes a config."""


def problems(config: type[BaseModel], fields: object) -> list[tuple[str, str]]:
    try:
        config.model_validate(fields)
    except ValidationError as invalid:
        return field_messages(invalid.errors(), config)
    return []


@pytest.mark.parametrize(
    ("config", "field"), [(config, field) for config in CONFIGS for field in config.model_fields], ids=str
)
def test_every_wrong_value_of_every_field_is_answered_in_plain_words(config: type[JobConfig], field: str) -> None:
    answers = [each for value in WRONG_VALUES for each in problems(config, {"dataset": "faces", field: value})]
    assert answers
    for path, message in answers:
        assert not INTERNAL.search(message.replace("é", "")), (path, message)
        assert len(message) < 250


def patterns(schema: object) -> Iterator[str]:
    """The regular expressions in a JSON schema."""
    for name, value in (
        schema.items() if isinstance(schema, dict) else enumerate(schema if isinstance(schema, list) else ())
    ):
        if name == "pattern":
            yield value
        yield from patterns(value)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_regular_expression_has_words(config: type[JobConfig]) -> None:
    assert set(patterns(config.model_json_schema())) <= PATTERNS.keys()


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (
            FinetuneConfig,
            {"device": "mps"},
            'device: must be auto, cpu, cuda or cuda:N with the number of a GPU, as in cuda:0, not "mps"',
        ),
        (FinetuneConfig, {"batch_size": 1}, "batch_size: must be at least 2, not 1"),
        (FinetuneConfig, {"label_smoothing": 1.0}, "label_smoothing: must be below 1, not 1.0"),
        (FinetuneConfig, {"stage2_epochs": "many"}, 'stage2_epochs: must be a whole number, not "many"'),
        (FinetuneConfig, {"head_lr": float("nan")}, "head_lr: must be a finite number, not NaN"),
        (
            FinetuneConfig,
            {"mixed_precision": "BF16"},
            'mixed_precision: must be auto, bf16, fp16 or off, not "BF16"; did you mean bf16?',
        ),
        (
            FinetuneConfig,
            {"edgeface": "a\tb"},
            'edgeface: must not contain a line break, a tab or another control character, not "a\\tb"',
        ),
        (FinetuneConfig, {"allowed_leaks": "*"}, 'allowed_leaks: must be a list, not "*"'),
        (DsrTrainingConfig, {"vlr_sizes": []}, "vlr_sizes: must have at least 1 value, not 0"),
        (DsrTrainingConfig, {"factors": [2, 9]}, "factors.1: must be at most 8, not 9"),
        (EvaluationConfig, {"tta": "perhaps"}, 'tta: must be true or false, not "perhaps"'),
        (FinetuneConfig, [], "config: must be a JSON object of fields, not a list"),
    ],
)
def test_the_message_says_what_is_accepted_and_what_was_given(
    config: type[JobConfig], fields: Any, message: str
) -> None:
    given = {"dataset": "faces", **fields} if isinstance(fields, dict) else fields
    assert [f"{field}: {text}" for field, text in problems(config, given)] == [message]


@pytest.mark.parametrize(
    ("config", "name", "suggested"),
    [
        (FinetuneConfig, "lr", "did you mean backbone_lr, head_lr or head_lr_stage2?"),
        (FinetuneConfig, "learning_rate", "did you mean backbone_lr, head_lr or head_lr_stage2?"),
        (DsrTrainingConfig, "learningRate", "did you mean lr?"),
        (FinetuneConfig, "epochs", "did you mean stage1_epochs or stage2_epochs?"),
        (FinetuneConfig, "num_epochs", "did you mean stage1_epochs or stage2_epochs?"),
        (FinetuneConfig, "stage2Epochs", "did you mean stage2_epochs?"),
        (FinetuneConfig, "batch-size", "did you mean batch_size?"),
        (FinetuneConfig, "bach_size", "did you mean batch_size?"),
        (FinetuneConfig, "inventedPeople", "did you mean synthetic_identities?"),
        (FinetuneConfig, "patience", "did you mean early_stop_patience?"),
        (FinetuneConfig, "weights", "did you mean edgeface?"),
        (FinetuneConfig, "data_dir", "did you mean dataset?"),
        (FinetuneConfig, "vlr_sizes", "did you mean vlr_size?"),
        (FinetuneConfig, "threshold", "it is a field of an evaluation (POST /evaluations)"),
        (EvaluationConfig, "warmup", "it is a field of a fine-tuning (POST /jobs)"),
        (EvaluationConfig, "priority", "POST /evaluations?priority=N"),
        (FinetuneConfig, "dry_run", "POST /jobs?dry_run=true"),
    ],
)
def test_an_unknown_field_suggests_what_may_be_meant(config: type[JobConfig], name: str, suggested: str) -> None:
    ((field, message),) = problems(config, {"dataset": "faces", name: 1})
    assert field == name
    assert message.startswith("there is no such field; ")
    assert suggested in message


def camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@given(data=st.data())
def test_any_field_in_another_spelling_is_suggested(data: st.DataObject) -> None:
    config = data.draw(st.sampled_from(CONFIGS))
    field = data.draw(st.sampled_from(sorted(config.model_fields)))
    spelling = data.draw(st.sampled_from([camel_case, str.upper, lambda name: name.replace("_", "-")]))
    if spelling(field) != field:
        assert f"did you mean {field}" in suggest_field(spelling(field), config)


_UTF_16 = (
    "the text is UTF-16 or UTF-32 with bytes missing, as `curl -d` sends it, or contains zero bytes; save it as UTF-8"
)
BROKEN = {
    b"": "line 1, column 1: it is empty",
    b'{"a": 1,\n "b": [2': "line 2, column 9: it ends here, before the last bracket or brace is closed",
    b'{\n  "a": 1,\n}': "line 3, column 1: a comma must not stand before a closing bracket or brace",
    b"{'a': 1}": "line 1, column 2: text needs double quotes",
    b'{"a": True}': "line 1, column 7: True is not JSON: write true, false or null",
    b'{\n  "a": 1\n  "b": 2\n}': 'line 3, column 3: a comma is missing before `"b": 2`',
    b'{"a" 1}': "line 1, column 6: a colon is missing before `1}`",
    b"{a: 1}": "line 1, column 2: a name in double quotes must stand here, not `a: 1}`",
    b'{"dsr": bicubic}': "line 1, column 9: a value must stand here, not `bicubic}`; text needs double quotes",
    b'{"a": 1 // one\n}': "line 1, column 9: JSON has no comments",
    b'{"dsr": "C:\\weights"}': "line 1, column 12: a backslash in text must be doubled, as in C:\\\\faces",
    b'{"a": "x\ny"}': "line 1, column 9: text must not contain a line break or a tab; write \\n or \\t",
    b'{"a": "x}': "line 1, column 7: this text has no closing quote",
    b'{"a": 1} x': "line 1, column 10: nothing may follow the end of the object, but `x` does",
    b'{"name":\n "Andr\xe9"}': "line 2, column 7: the byte 0xe9 is not utf-8; save the text as UTF-8",
    '{"a": 1,\r\n "b": 2}'.encode("utf-16").replace(b"\r", b"").replace(b"\n", b""): _UTF_16,
    '{\n "a": 1\n}'.encode("utf-16-le").replace(b"\n", b""): _UTF_16,
    '{"a": 1}'.encode("utf-16")[:-1]: _UTF_16,
    '{"a": 1}'.encode("utf-8-sig").replace(b"{", b"\xef\xbb\xbf{"): _UTF_16,
    b'{"a": 1}\0': _UTF_16,
    b"[" * 100_000: "its lists or objects are nested too deeply",
    b'{"seed": ' + b"9" * 5000 + b"}": "a number has too many digits",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(var_dir=tmp_path_factory.mktemp("service")))) as client:
        yield client


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_json_is_named_by_line_and_column_by_the_api_and_at_the_terminal(text: bytes, api: TestClient) -> None:
    with pytest.raises(ConfigError) as refused:
        read_object(text, "config.json")
    assert refused.value.message == f"config.json is not JSON: {BROKEN[text]}"
    if text:
        answer = api.post("/jobs", content=text, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
        assert answer.json()["errors"] == [{"field": "body", "message": BROKEN[text]}]
        assert answer.json()["hint"] == refused.value.hint


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_that_editors_write_is_read(encoding: str) -> None:
    assert read_object('{"dataset": "Gesichter_ä"}'.encode(encoding), "config.json") == {"dataset": "Gesichter_ä"}


SUBMITTED = {kind.name: {"dataset": "faces"} for kind in KINDS.values() if kind.dry_run_of is None} | {
    # What names an upload is read as an import, and anything else posted there as a check.
    "dataset_import": {"name": "faces", "upload": "01a22ce916d72d2b2e545462"}
}


@pytest.mark.parametrize("name", SUBMITTED)
def test_the_api_answers_with_the_same_text(name: str, api: TestClient) -> None:
    kind = KINDS[name]
    fields = {**SUBMITTED[name], "device": "mps", "num_workers": 2.5, "lrr": 3}
    answer = api.post(kind.path, json=fields).json()
    assert [(each["field"], each["message"]) for each in answer["errors"]] == problems(kind.config, fields)
    assert api.post(kind.path, json=[]).json()["errors"][0]["message"] == "must be a JSON object of fields, not a list"


def test_the_parameters_of_requests_are_answered_in_plain_words(api: TestClient) -> None:
    for query in ("status=done", "limit=0", "limit=many", "kind=train", "cursor=1"):
        answer = api.get(f"/jobs?{query}").json()
        assert not INTERNAL.search(answer["detail"]), answer["detail"]


@pytest.mark.parametrize("command", ["dsr-train", "profile", "submit"])
def test_the_commands_read_a_file_alike(command: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"dataset": "faces",\n}')
    refused = CliRunner().invoke(edgeface_finetune, [command, str(path)]).exception
    assert isinstance(refused, ConfigError)
    assert (
        refused.message
        == f"{path} is not JSON: line 2, column 1: a comma must not stand before a closing bracket or brace"
    )
    path.write_text("[]")
    refused = CliRunner().invoke(edgeface_finetune, [command, str(path)]).exception
    assert isinstance(refused, ConfigError)
    assert refused.message == f"{path}: it must be a JSON object of fields, not a list"


@pytest.mark.parametrize(
    ("command", "option", "suggested"),
    [
        ("train", "--epochs", ("--stage1-epochs", "--stage2-epochs")),
        ("train", "--lr", ("--backbone-lr", "--head-lr", "--head-lr-stage2")),
        ("train", "--weights", ("--edgeface",)),
        ("evaluate", "--baseline", ("--before",)),
    ],
)
def test_an_unknown_option_suggests_those_of_similar_fields(
    command: str, option: str, suggested: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(edgeface_finetune, [command, option, "1"])
    assert done.exit_code == 2
    said = done.output.split("No such option")[1]
    assert all(each in said for each in suggested), said


def test_a_command_names_fields_as_the_api_does(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    fields = {"train_dir": ".", "val_dir": ".", "device": "mps", "epoch": 3}
    path.write_text(json.dumps(fields))
    refused = CliRunner().invoke(edgeface_finetune, ["dsr-train", str(path)]).exception
    assert isinstance(refused, ConfigError)
    assert refused.message == "; ".join(f"{field}: {text}" for field, text in problems(DsrTrainingConfig, fields))
    assert "did you mean epochs?" in refused.message
