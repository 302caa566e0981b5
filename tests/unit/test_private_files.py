"""Nobody but the service's user reads what it writes."""

import stat
from pathlib import Path

import pytest

from app.private_files import mend_modes
from app.settings import Settings


def modes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): f"{stat.S_IMODE(path.stat().st_mode):o}" for path in folder.rglob("*")}


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """As a version before wrote it, under the usual umask."""
    var = tmp_path / "var"
    written = ("edgeface.sqlite", "artifacts/1/attempt-1/state.pth", "prepared/faces", "datasets/a/1.png", "weights/x")
    for name in written:
        path = var / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for path in (var, *var.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return var


def test_a_folder_of_a_former_version_is_taken_from_others(var: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x")
    outside.chmod(0o644)
    (var / "artifacts" / "link").symlink_to(outside)
    mend_modes(Settings(var_dir=var))
    assert stat.S_IMODE(var.stat().st_mode) == 0o700
    assert modes(var) == {
        "edgeface.sqlite": "600",
        "artifacts": "700",
        "artifacts/1": "700",
        "artifacts/1/attempt-1": "700",
        "artifacts/1/attempt-1/state.pth": "600",
        "artifacts/link": "644",
        "prepared": "700",
        "prepared/faces": "600",
        "datasets": "755",
        "datasets/a": "755",
        "datasets/a/1.png": "644",
        "weights": "755",
        "weights/x": "644",
    }


def test_a_mended_folder_is_not_walked_again(var: Path) -> None:
    settings = Settings(var_dir=var)
    mend_modes(settings)
    (var / "prepared" / "faces").chmod(0o644)  # unreachable for others
    mend_modes(settings)
    assert modes(var)["prepared/faces"] == "644"
