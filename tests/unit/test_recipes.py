"""A recipe is the defaults of the fields that a person does not set, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.finetune.config import FinetuneConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.recipes import RECOMMENDED, changed_fields, views_warning

GUIDE = {
    "stage1_epochs": 5,
    "stage2_epochs": 20,
    "batch_size": 32,
    "backbone_lr": 5e-6,
    "head_lr_stage2": 5e-5,
    "early_stop_patience": 8,
    "val_interval": 1,
    "warmup": 0.0,
    "keep": "best",
    "interpolation": 1.0,
    "synthetic_identities": 0,
}


def test_without_a_recipe_the_defaults_are_the_guides() -> None:
    config = FinetuneConfig(dataset="orl12")
    assert config.recipe == "guide"
    assert config.model_dump().items() >= GUIDE.items()
    assert not config.needs_train_hr
    assert FinetuneConfig(dataset="orl12", recipe="guide") == config


def test_the_recommended_recipe_sets_what_it_says_and_leaves_the_rest() -> None:
    config, guide = FinetuneConfig(dataset="orl12", recipe="recommended"), FinetuneConfig(dataset="orl12")
    assert config.model_dump().items() >= RECOMMENDED.items()
    others = FinetuneConfig.model_fields.keys() - RECOMMENDED.keys() - {"recipe"}
    assert all(getattr(config, name) == getattr(guide, name) for name in others)
    assert config.needs_train_hr


@given(st.dictionaries(st.sampled_from(sorted(RECOMMENDED)), st.none()).map(dict))
def test_what_a_person_sets_stands(chosen: dict[str, None]) -> None:
    given = {name: GUIDE[name] for name in chosen}
    config = FinetuneConfig.model_validate({"dataset": "orl12", "recipe": "recommended", **given})
    assert config.model_dump().items() >= {**RECOMMENDED, **given}.items()


def test_a_row_keeps_its_numbers_when_a_later_version_recommends_others(monkeypatch: pytest.MonkeyPatch) -> None:
    row = FinetuneConfig(dataset="orl12", recipe="recommended").model_dump(mode="json")
    monkeypatch.setattr("app.finetune.recipes.RECIPES", {"guide": {}, "recommended": {"stage2_epochs": 7}})
    assert FinetuneConfig.model_validate(row).model_dump(mode="json") == row
    assert FinetuneConfig(dataset="orl12", recipe="recommended").stage2_epochs == 7


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"recipe": "mine"}, "Input should be 'guide' or 'recommended'"),
        ({"recipe": None}, "Input should be 'guide' or 'recommended'"),
        ({"vlr_share": 0.6, "hr_share": 0.5}, "vlr_share 0.6 and hr_share 0.5 sum to more than 1"),
        ({"synthetic_identities": 8, "invented_people": 8}, "invented_people is the former name of synthetic_id"),
        ({"smallest_view": 24, "largest_view": 16}, "smallest_view 24 is larger than largest_view 16"),
    ],
)
def test_what_cannot_be_is_refused_in_words(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FinetuneConfig.model_validate({"dataset": "orl12", **wrong})


def test_a_former_field_name_overrides_the_recipe() -> None:
    config = FinetuneConfig.model_validate({"dataset": "orl12", "recipe": "recommended", "invented_people": 8})
    assert config.synthetic_identities == 8
    assert "invented_people" not in config.model_dump()


def test_a_training_that_shows_many_more_faces_than_were_measured_warns() -> None:
    def warned(people: int, epochs: int, images: int) -> str | None:
        warning = views_warning(synthetic_identities=people, stage2_epochs=epochs, train_images=images)
        return None if warning is None else warning.message

    assert warned(768, 60, 300) is None
    assert warned(0, 60, 8500) is None, "the guide's"
    assert "510,000 faces" in str(warned(768, 60, 8500))
    assert "stage2_epochs to about 2 " in str(warned(768, 60, 8500))


@pytest.mark.parametrize("recipe", ["guide", "recommended"])
def test_only_what_differs_from_the_recipe_is_changed(recipe: str) -> None:
    config = FinetuneConfig.model_validate({"dataset": "orl12", "recipe": recipe})
    assert changed_fields(config) == {}
    other = config.model_copy(update={"keep": "last", "batch_size": 7, "synthetic_identities": 768})
    expected = {"batch_size": 7} if recipe == "recommended" else {"keep": "last", "batch_size": 7}
    assert changed_fields(other) == expected | ({} if recipe == "recommended" else {"synthetic_identities": 768})


def test_a_config_without_recipes_is_compared_with_its_defaults() -> None:
    assert changed_fields(EvaluationConfig(eval_dir="val", tta=True)) == {"tta": True}
