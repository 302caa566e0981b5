"""Errors of weights files: what they contain, and what to do about it. All errors are drawn in errors.py beside this
one."""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.errors import Blame, EdgefaceError, name_some

SAVE_STATE_DICT = "torch.save(model.state_dict(), path)"


class WeightsError(EdgefaceError):
    code = "weights_invalid"
    blame: Blame = "request"


class WeightsMissing(WeightsError):
    code = "weights_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} does not exist", "check the path, or put the file back and retry")


class WeightsUnreadable(WeightsError):
    code = "weights_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is not a readable weights file: {reason}",
            "use a file that torch.save or safetensors wrote; if PyTorch cannot load this one either, it is damaged: "
            "copy or download it again",
        )


class WeightsOtherFormat(WeightsError):
    code = "weights_other_format"

    def __init__(self, path: Path, format_: str, hint: str) -> None:
        super().__init__(f"{path} is {format_}, not a file that torch.save or safetensors wrote", hint)


class WeightsUnsafe(WeightsError):
    code = "weights_unsafe"

    def __init__(self, path: Path, pickled: str) -> None:
        super().__init__(
            f"{path} contains the pickled object {pickled}; loading it could run code, so it is refused",
            f"save only the state dict, with the program that made the file: {SAVE_STATE_DICT}",
        )


class WeightsQuantized(WeightsError):
    code = "weights_quantized"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is quantised to int8 (a `_q` file); int8 weights cannot be fine-tuned",
            "use the float32 file of the same model, such as edgeface_xxs.pt instead of edgeface_xxs_q.pt",
        )


class WeightsWithoutTensors(WeightsError):
    code = "weights_without_tensors"

    def __init__(self, path: Path, content: str) -> None:
        super().__init__(
            f"{path} is intact, but contains no state dict: {content}",
            f"save the state dict with the program that trained the network: {SAVE_STATE_DICT}",
        )


class WeightsAmbiguous(WeightsError):
    code = "weights_ambiguous"

    def __init__(self, path: Path, architecture: str, places: Sequence[str]) -> None:
        super().__init__(
            f"{path} contains {len(places)} {architecture} networks, and their names do not say which one to use: "
            f"{name_some(places)}",
            f"save the one that you mean alone: {SAVE_STATE_DICT}",
        )


class WeightsValuesInvalid(WeightsError):
    code = "weights_values_invalid"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be computed with: {reason}",
            "use an earlier checkpoint of the training that wrote it, saved as floating-point numbers",
        )


class WeightsTooLarge(WeightsError):
    code = "weights_too_large"

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(
            f"{path}: the network is too large to be used: {reason}",
            "train a smaller network; docs/dsr.md lists the largest that is accepted",
        )


class WeightsMismatch(WeightsError):
    code = "weights_mismatch"

    def __init__(self, path: Path | str, architecture: str, difference: str) -> None:
        super().__init__(
            f"{path} does not fit {architecture}: {difference}",
            "weights are loaded strictly because a partly loaded model trains noise: use a file of this architecture",
        )
