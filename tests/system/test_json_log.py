"""`serve --log-format json`: each line is an object that tells no path of the machine and no secret."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from app.client import Client
from tests.system.conftest import START_SECONDS, STOP_SECONDS, Machine, wait_until

pytestmark = pytest.mark.slow

KEY = "eff_" + "k" * 43


def test_each_line_of_the_service_is_an_object_without_paths_and_secrets(tmp_path: Path, drawn_inputs: Path) -> None:
    var_dir, key_file = tmp_path / "var", tmp_path / "admin key"
    shutil.copytree(drawn_inputs, var_dir)
    key_file.write_text(KEY)
    environment = {"EDGEFACE_LOG_FORMAT": "json", "EDGEFACE_ADMIN_KEY_FILE": str(key_file), "EDGEFACE_KEY": KEY}
    with closing(Machine(var_dir, environment)) as machine:
        serve = machine.start("serve")
        machine.wait_until_ready()
        with Client(machine.url, key=KEY) as client:
            short = {"dataset": "drawn", "stage1_epochs": 0, "stage2_epochs": 1}
            works = client.submit(short)
            images = var_dir / "datasets" / "drawn" / "train_processed" / "vlr_images"
            wait_until(lambda: client.get(works.id).terminal, START_SECONDS)
            next(images.iterdir()).write_bytes(b"no image")
            fails = client.submit({**short, "seed": 1})
            wait_until(lambda: client.get(fails.id).terminal, START_SECONDS)
            assert [client.get(job.id).status for job in (works, fails)] == ["succeeded", "failed"]
        serve.terminate()
        assert serve.wait(STOP_SECONDS) == 0
        lines = machine.log().splitlines()
    entries = [json.loads(line) for line in lines if line]
    assert {entry["process"] for entry in entries} == {"serve", "api", "worker"}
    assert {entry.get("job") for entry in entries} >= {works.id, fails.id}
    for line in lines:
        assert str(tmp_path)[1:] not in line
        assert KEY not in line
        assert str(Path(__file__).parents[2]) not in line
