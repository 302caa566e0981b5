"""What a DSR training's config takes, and what it says of what it does not."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.finetune.dsr_config import DEFAULT_LAYOUT, DsrTrainingConfig


def test_a_dataset_is_short_for_both_folders() -> None:
    config = DsrTrainingConfig.model_validate({"dataset": "orl16/"})
    assert (config.train_dir, config.val_dir) == ("orl16/train_processed", "orl16/val_processed")
    assert config.layout == DEFAULT_LAYOUT
    assert DsrTrainingConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_guides_own_layout_can_be_asked_for() -> None:
    layout = DsrTrainingConfig.model_validate(
        {"dataset": "orl16", "channels": 64, "blocks": 8, "factors": [2, 5]}
    ).layout
    assert (layout.channels, layout.blocks, layout.factors, layout.enlargement) == (64, 8, (2, 5), 10)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "train_dir and val_dir missing"),
        ({"train_dir": "a"}, "val_dir missing"),
        ({"dataset": "a", "vlr_sizes": []}, "vlr_sizes"),
        ({"dataset": "a", "vlr_sizes": [16, 16]}, "vlr_sizes names a size twice"),
        ({"dataset": "a", "vlr_sizes": [112]}, "vlr_sizes.0"),
        ({"dataset": "a", "factors": [1]}, "factors.0"),
        ({"dataset": "a", "factors": [8, 8]}, "factors enlarge 16 px to 1024 px"),
        ({"dataset": "a", "dsr": "dsr.pth", "blocks": 8}, "blocks with dsr"),
        ({"dataset": "a", "pixel_weight": 0, "perceptual_weight": 0, "identity_weight": 0}, "nothing would be learned"),
        ({"dataset": "a", "jpeg_quality": 96}, "jpeg_quality"),
        ({"dataset": "a", "blur_probability": 1.5}, "blur_probability"),
        ({"dataset": "a", "lr": float("nan")}, "lr"),
        ({"dataset": "a", "stage1_epochs": 5}, "stage1_epochs"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DsrTrainingConfig.model_validate(fields)
    told = "\n".join(f"{'.'.join(map(str, each['loc']))} {each['msg']}" for each in refused.value.errors())
    assert says in told


@pytest.mark.parametrize("name", DsrTrainingConfig.model_fields)
def test_the_page_has_every_field_with_its_default(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "dsr.md").read_text()
    default = DsrTrainingConfig.model_fields[name].default
    shown = "null" if default is None else str(list(default) if isinstance(default, tuple) else default)
    assert f"| `{name}` | {shown} |" in page
