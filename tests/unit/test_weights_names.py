"""One rule finds the weights that a config names, for the service and for each command, before PyTorch is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.inputs.errors import OutsideRoots, WeightsNotFound
from app.inputs.weights_names import find_weights_file, find_weights_path, list_weights

RUN = """
import sys
from app.cli.service import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder, with one file; the current directory has another one."""
    root, here = tmp_path / "weights", tmp_path / "here"
    (root / "old").mkdir(parents=True)
    (here / "mine").mkdir(parents=True)
    for path in (root / "edgeface_xs.pt", root / "old" / "dsr.pth", root / "._edgeface_xs.pt"):
        path.touch()
    for path in (here / "local.pt", here / "mine" / "tuned.pth", here / "edgeface_s.pt", root / "edgeface_s.pt"):
        path.touch()
    monkeypatch.chdir(here)
    return root


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("edgeface_xs.pt", "weights/edgeface_xs.pt"),
        ("old/dsr.pth", "weights/old/dsr.pth"),
        ("local.pt", "here/local.pt"),
        ("mine/tuned.pth", "here/mine/tuned.pth"),
        ("../here/local.pt", "here/local.pt"),
        ("edgeface_s.pt", "here/edgeface_s.pt"),
        ("{root}/old/dsr.pth", "weights/old/dsr.pth"),
    ],
)
def test_a_path_that_exists_is_used_and_then_the_weights_folder(name: str, found: str, root: Path) -> None:
    path = find_weights_path("edgeface", name.format(root=root), root)
    assert path.resolve() == (root.parent / found).resolve()


def test_the_service_uses_its_weights_folder_alone(root: Path) -> None:
    assert find_weights_file("edgeface", "old/dsr.pth", root) == root / "old" / "dsr.pth"
    for name in ("local.pt", "mine/tuned.pth"):
        with pytest.raises(WeightsNotFound, match="edgeface: there is no file"):
            find_weights_file("edgeface", name, root)
    for name in ("../here/local.pt", str(root.parent / "here" / "local.pt")):
        with pytest.raises(OutsideRoots):
            find_weights_file("edgeface", name, root)


def test_hidden_files_are_not_listed(root: Path) -> None:
    assert list_weights(root) == ["edgeface_s.pt", "edgeface_xs.pt", "old/dsr.pth"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("edgeface_xss.pt", "did you mean edgeface_xs.pt?"),
        ("var/weights/dsr.pth", "did you mean old/dsr.pth?"),
        ("edgeface_xxs.pt", "`edgeface-finetune weights fetch` downloads it into the weights folder"),
        ("other", "copy the file there, as in cp other {root}/"),
    ],
)
def test_the_hint_names_a_file_that_may_be_meant(name: str, advice: str, root: Path) -> None:
    for find in (find_weights_file, find_weights_path):
        with pytest.raises(WeightsNotFound) as missing:
            find("edgeface", name, root)
        assert missing.value.hint == advice.format(root=root)
        assert f"edgeface: there is no file {name!r} in " in missing.value.message
        assert f"{root} (it has edgeface_s.pt, edgeface_xs.pt, old/dsr.pth)" in missing.value.message


def test_the_official_weights_can_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound) as missing:
        find_weights_file("edgeface", "edgeface_xxs.pt", tmp_path)
    assert "edgeface-finetune weights fetch" in missing.value.hint


@pytest.mark.parametrize("command", ["train", "evaluate", "dsr-train", "profile"])
@pytest.mark.parametrize("exists", [True, False], ids=["of another network", "missing"])
def test_each_command_refuses_weights_before_it_imports_pytorch(command: str, exists: bool, tmp_path: Path) -> None:
    config = {"train_dir": ".", "val_dir": ".", "edgeface": "none.pt"} | (
        {"eval_dir": "."} if command == "evaluate" else {}
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    if exists:
        (tmp_path / "none.pt").write_bytes(b"<!doctype html>")
    folders = ["--eval-dir", "."] if command == "evaluate" else ["--train-dir", ".", "--val-dir", "."]
    options = ["config.json"] if command in ("dsr-train", "profile") else [*folders, "--edgeface", "none.pt"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, command, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = (
        "none.pt is an HTML page"
        if exists
        else f"edgeface: there is no file 'none.pt' in {tmp_path} or in {tmp_path}/var/weights"
    )
    assert done.stderr.startswith(f"error: {said}"), done.stderr
    assert (done.returncode, done.stdout) == (2, "False\n")
