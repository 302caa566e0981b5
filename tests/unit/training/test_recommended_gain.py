"""On people that it never saw, a short training by the recommended recipe recognises small faces far better."""

from pathlib import Path

import pytest

from benchmarks.recognition.people import read_people, unseen_of
from benchmarks.recognition.rates import HR, measure
from benchmarks.recognition.trainings import config_of, train
from worker.training.models.edgeface import load_edgeface


@pytest.mark.slow
def test_it_beats_the_weights_before_on_unseen_people_at_12_px(shared_assets: Path) -> None:
    faces, edgeface = shared_assets / "faces" / "orl_aligned", shared_assets / "weights" / "edgeface_xxs.pt"
    unseen, *others = unseen_of(faces)
    short = {"stage2_epochs": 12, "synthetic_identities": 256, "val_interval": 12}
    config = config_of("recommended", seed=0).model_copy(update=short)
    people, strangers = read_people(faces, others[0] + others[1]), read_people(faces, unseen)
    before, _ = load_edgeface(edgeface)
    was = measure(before.eval(), strangers, [12], draw=0)
    now = measure(train(config, people, (12,), edgeface), strangers, [12], draw=0)
    for size in (HR, "12"):
        print(size, *(f"{name} {was[size][name].value:.3f} -> {now[size][name].value:.3f}" for name in was[size]))
    assert now["12"]["TAR@1%"].value > was["12"]["TAR@1%"].value + 0.1
    assert now["12"]["rank-1"].value > was["12"]["rank-1"].value
    assert now[HR]["TAR@0.1%"].value > was[HR]["TAR@0.1%"].value - 0.005
