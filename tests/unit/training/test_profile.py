"""`edgeface-finetune profile`: a table of where the time goes, a trace, and nothing else left."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.finetune.errors import ConfigError
from worker.cli.profile import profile
from worker.cli.profile_training import OTHER, Part, parts_of, sampled
from worker.training.storage.paths import TrainingFiles

from .support import write_drawn_split, write_training

PARTS = {
    "read images",
    "enlargement",
    "feed",
    "augmentation",
    "forward",
    "backward",
    "optimizer",
    "validation",
    "checkpoint",
    "state",
    "database",
}


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


def invoke(files: TrainingFiles, folder: Path, *arguments: object, **changes: object) -> Result:
    config = {
        "train_dir": str(files.train_dir),
        "val_dir": str(files.val_dir),
        "edgeface": str(files.edgeface),
        "device": "cpu",
        "batch_size": 6,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config | changes))
    return CliRunner().invoke(profile, [str(path), *map(str, arguments)], catch_exceptions=True)


def rows(result: Result) -> dict[str, tuple[float, float, int]]:
    """Seconds, share in percent, and calls of each part."""
    assert result.exit_code == 0, result.output
    table = result.stdout.split("\n\n")[0].splitlines()[1:-1]
    cells = [line.rsplit(maxsplit=3) for line in table]
    return {
        name.strip(): (float(seconds), float(share.rstrip("%")), int(calls)) for name, seconds, share, calls in cells
    }


def test_the_table_has_every_part_of_a_training_and_the_trace_too(files: TrainingFiles, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    trace = tmp_path / "traces" / "trace.json"
    done = invoke(files, tmp_path, "--trace", trace, stage1_epochs=1, stage2_epochs=3)
    found = rows(done)
    assert found.keys() >= PARTS
    assert sum(share for _, share, _ in found.values()) == pytest.approx(100, abs=0.1 * len(found))
    # 16 faces in batches of 6: three steps an epoch, one epoch of stage 1 and two, by default, of the three of stage 2.
    assert found["backward"][2] == found["optimizer"][2] == 3 * (1 + 2)
    assert found["forward"][2] == 1 + 3 * 2, "stage 1 embeds all of its batches at once"
    assert "1 of 1 epochs of stage 1, 2 of 3 of stage 2" in done.stdout
    names = {event.get("name", "").removeprefix("edgeface: ") for event in json.loads(trace.read_text())["traceEvents"]}
    assert names >= PARTS
    assert "aten::native_layer_norm" in names, "the operations are there too"
    assert set(tmp_path.rglob("*")) - before == {trace.parent, trace, tmp_path / "config.json"}


@pytest.mark.slow
def test_a_large_training_is_cut_down(files: TrainingFiles, tmp_path: Path) -> None:
    write_drawn_split(tmp_path / "large", range(4), range(6, 26))
    arguments = ("--trace", tmp_path / "trace.json", "--epochs", 1, "--steps", 2)
    done = invoke(files, tmp_path, *arguments, train_dir=str(tmp_path / "large"), stage1_epochs=0)
    found = rows(done)
    assert found["forward"][2] == 2
    assert "80" not in done.stderr.split("prepared ")[1].split(" train ")[0]


def test_a_sample_has_every_subject_if_it_can(files: TrainingFiles, tmp_path: Path) -> None:
    write_drawn_split(tmp_path / "large", range(4), range(6, 26))
    large = TrainingFiles(tmp_path / "large", files.val_dir, files.edgeface, None, tmp_path, tmp_path)
    with sampled(large, 10) as some:
        names = sorted(path.name for path in (some.train_dir / "vlr_images").iterdir())
        hr = sorted(path.name for path in (some.train_dir / "hr_images").iterdir())
        assert len(names) == 10
        assert names == hr
        assert {name[:3] for name in names} == {"000", "001", "002", "003"}
        assert len(list((some.val_dir / "vlr_images").iterdir())) == 8
        assert (some.train_dir / "vlr_images" / names[0]).read_bytes().startswith(b"\x89PNG")
    assert not some.train_dir.exists()
    with sampled(large, 80) as all_of_it:
        assert all_of_it is large


def test_parts_are_told_without_the_parts_inside_them() -> None:
    spans = [(3.0, 4.0, "backward"), (0.0, 6.0, "step"), (1.0, 2.5, "feed"), (1.5, 2.0, "augment"), (7.0, 8.0, "feed")]
    assert list(parts_of(spans, 10.0)) == [
        Part("step", 3.5, 1),
        Part("feed", 2.0, 2),
        Part("backward", 1.0, 1),
        Part("augment", 0.5, 1),
        Part(OTHER, 3.0, 1),
    ]


def test_a_config_that_is_wrong_is_refused_by_the_fields_name(files: TrainingFiles, tmp_path: Path) -> None:
    wrong = invoke(files, tmp_path, epochs=5).exception
    assert isinstance(wrong, ConfigError)
    assert "epochs" in wrong.message
    (tmp_path / "config.json").write_text("no JSON")
    broken = CliRunner().invoke(profile, [str(tmp_path / "config.json")]).exception
    assert isinstance(broken, ConfigError)
    assert "is not JSON: line 1, column 1" in broken.message
