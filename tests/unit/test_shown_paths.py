"""Paths of the machine are shown relative to the folder that has them, and by its name."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.finetune.shown_paths import ShownPaths
from app.settings import Settings
from app.shown_roots import shown_paths

PATHS = ShownPaths.of(
    [
        (Path("/srv/faces/var/datasets"), "datasets"),
        (Path("/srv/faces/var"), "var"),
        (Path("/weights"), "weights"),
        (Path('/mnt/\u00e9tude "1"'), "linked"),
        (Path("/"), "root"),
    ]
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/faces/var/datasets/orl16/a.png is damaged", "datasets/orl16/a.png is damaged"),
        ("there is nothing in /srv/faces/var/datasets.", "there is nothing in datasets."),
        ("mv /srv/faces/var/a /srv/faces/var/b", "mv var/a var/b"),
        ("PosixPath('/srv/faces/var')", "PosixPath('var')"),
        ("sqlite:////srv/faces/var/edgeface.sqlite", "sqlite:///var/edgeface.sqlite"),
        ("/srv/faces/variant and /srv/faces/var.old and /srv/faces/var-2", None),
        ("backup/srv/faces/var", None),
        ("GET /weights lists them", None),
        ("http://host:8000/weights", None),
        ("/weights/edgeface.pt", "weights/edgeface.pt"),
        ("/docs describes it", None),
    ],
)
def test_a_path_is_shown_by_the_folder_that_has_it(text: str, shown: str | None) -> None:
    assert PATHS.shown(text) == (text if shown is None else shown)


def test_values_of_json_are_shown_whatever_their_escapes() -> None:
    value = {"a": ['in /mnt/\u00e9tude "1"/x', 1, None], "/srv/faces/var": True}
    shown = {"a": ["in linked/x", 1, None], "var": True}
    assert json.loads(PATHS.dumps(value)) == shown
    for ascii_ in (True, False):
        written = json.dumps(value, ensure_ascii=ascii_)
        assert PATHS.loads(written) == PATHS.loads(written.encode()) == shown


def test_a_link_is_shown_as_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    paths = ShownPaths.of([(tmp_path / "link", "datasets")])
    assert paths.shown(f"{tmp_path}/disk/a and {tmp_path}/link/a") == "datasets/a and datasets/a"


_NAMES = st.text(st.sampled_from("ab\u00e9_-. '\"\\\n,)"), min_size=1, max_size=6).filter(
    lambda name: set(name) != {"."}
)
_AROUND = st.text(st.sampled_from("x /\u00e9'\"(:=,.\n-"), max_size=8)


@given(
    roots=st.lists(st.lists(_NAMES, min_size=1, max_size=3), min_size=1, max_size=4),
    inside=st.lists(_NAMES, max_size=3),
    before=_AROUND,
    after=_AROUND,
    which=st.integers(0, 3),
)
def test_no_path_inside_a_root_is_left(
    roots: list[list[str]], inside: list[str], before: str, after: str, which: int
) -> None:
    folders = [Path("/top", *names) for names in roots]
    paths = ShownPaths(tuple((str(each), "root") for each in sorted(folders, key=lambda each: -len(str(each)))))
    path = str(folders[which % len(folders)].joinpath(*inside))
    before, after = (
        before.rstrip("x\u00e9.-") + " ",
        "" if not inside and after[:1] in ("x", "\u00e9", "-", ".") else after,
    )
    shown = paths.shown(f"{before}{path}{after}")
    assert path not in shown
    assert shown.startswith(f"{before}root")
    assert paths.shown(shown) == shown
    assert PATHS.loads(paths.dumps([f"{before}{path}{after}"])) == [shown]


def test_the_roots_of_the_service_are_named(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path / "var", weights_dir=tmp_path / "w", linked_dirs=f"{tmp_path}/nas")
    paths = shown_paths(settings)
    shown = {
        settings.datasets_dir / "a": "datasets/a",
        settings.weights_dir / "a": "weights/a",
        settings.artifacts_dir / "a": "artifacts/a",
        settings.uploads_dir / "a": "uploads/a",
        settings.checked_weights_dir / "a": "var/weights-checked/a",
        tmp_path / "nas" / "a": "nas/a",
        Path(__file__).parents[2] / "app" / "main.py": "edgeface-finetune/app/main.py",
    }
    assert {path: paths.shown(str(path)) for path in shown} == shown
