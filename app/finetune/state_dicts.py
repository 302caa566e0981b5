"""Finds a network's state dict in the content of a weights file: the one rule of the service, which reads shapes
without torch, and of the worker, which loads tensors.

Programs save the same network as a bare state dict, under a key such as `model` or `state_dict` beside the epoch and
the optimizer, and with a prefix from DataParallel (`module.`), torch.compile (`_orig_mod.`) or the attribute that holds
the network (`backbone.`), in any combination. A key that every such network has, its anchor, shows where the state dict
is.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from app.finetune.errors import name_some, shortened
from app.finetune.weights_errors import WeightsAmbiguous, WeightsMismatch, WeightsQuantized, WeightsWithoutTensors

Weights = Literal["EdgeFace", "DSR"]
"""The families of weights that a config names and a job makes."""

ANCHORS: Mapping[Weights, str] = {"EdgeFace": "stem.0.weight", "DSR": "conv_in.weight"}
"""A key that every network of the family has."""

_FIELDS: Mapping[Weights, str] = {"EdgeFace": "edgeface", "DSR": "dsr"}

_INSERTED = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of names that DataParallel, torch.compile and FSDP insert, also between the parts of a network's own name."""

_EMA = re.compile(r"(^|_)ema($|_)")
_PREFERRED = (
    ("backbone_state_dict", "state_dict_backbone", "backbone"),
    ("model_state_dict", "state_dict", "model", "params", "net", "network"),
)
"""Names of the network that is meant where a file has several, the first preferred. An average of the weights over the
training (EMA) comes before them: the programs that save one evaluate that one."""

_Tensor = TypeVar("_Tensor")


@dataclass(frozen=True)
class FoundNetwork(Generic[_Tensor]):
    """The tensors of a network by its own names. `place` says where they were: `model: module.`, or "" at the top."""

    tensors: Mapping[str, _Tensor]
    place: str
    unused_networks: tuple[str, ...]
    """Places of further networks of the family."""
    unused_tensors: tuple[str, ...]
    """Names of tensors beside the network, such as those of a classifier."""


@dataclass(frozen=True)
class _Place:
    keys: tuple[str, ...]
    prefix: str

    def __str__(self) -> str:
        return ": ".join(part for part in ("/".join(self.keys), self.prefix) if part) or "the top level"

    @property
    def names(self) -> tuple[str, ...]:
        """All parts but the inserted ones."""
        return tuple(part for part in (*self.keys, *self.prefix.split(".")) if part and part not in _INSERTED)

    def rank(self) -> tuple[bool, int, int]:
        """Less is preferred. Equal ranks are ambiguous."""
        known = [*(name for names in _PREFERRED for name in names)]
        is_ema = any(_EMA.search(name) for name in self.names)
        position = min((known.index(name) for name in self.names if name in known), default=len(known))
        unknown = sum(name not in known and not _EMA.search(name) for name in self.names)
        return not is_ema, unknown, position


def find_network(
    content: object, family: Weights, path: Path, as_tensor: Callable[[object], _Tensor | None]
) -> FoundNetwork[_Tensor]:
    """Find the state dict of a network of the family in a file's content. `as_tensor` returns None for other values.

    Raises WeightsWithoutTensors, WeightsQuantized, WeightsMismatch or WeightsAmbiguous.
    """
    if not isinstance(content, Mapping):
        raise WeightsWithoutTensors(path, f"it holds {_describe(content)}")
    if any("_packed_params" in str(name) for _, mapping in _mappings(content) for name in mapping):
        raise WeightsQuantized(path)
    groups = {_Place(keys, ""): _tensors(mapping, as_tensor) for keys, mapping in _mappings(content)}
    networks = _networks(groups, ANCHORS[family])
    if not networks:
        raise _nothing_found(content, family, path, groups)
    place, *others = sorted(networks, key=_Place.rank)
    if others and others[0].rank() == place.rank():
        raise WeightsAmbiguous(path, family, [str(each) for each in sorted(networks, key=str)])
    group = groups[_Place(place.keys, "")]
    return FoundNetwork(
        tensors=networks[place],
        place="" if place == _Place((), "") else str(place),
        unused_networks=tuple(map(str, others)),
        unused_tensors=tuple(name for name in group if not any(_belongs(name, each, place.keys) for each in networks)),
    )


def _mappings(content: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Yield each mapping once, with the keys that lead to it, outer ones first."""
    waiting: deque[tuple[tuple[str, ...], Mapping[Any, Any]]] = deque([((), content)])
    seen = {id(content)}
    while waiting:
        keys, mapping = waiting.popleft()
        yield keys, mapping
        for key, value in mapping.items():
            if isinstance(value, Mapping) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(((*keys, str(key)), value))


def _tensors(mapping: Mapping[Any, Any], as_tensor: Callable[[object], _Tensor | None]) -> dict[str, _Tensor]:
    found = ((name, as_tensor(value)) for name, value in mapping.items() if isinstance(name, str))
    return {name: tensor for name, tensor in found if tensor is not None}


def _networks(groups: Mapping[_Place, Mapping[str, _Tensor]], anchor: str) -> dict[_Place, dict[str, _Tensor]]:
    """Return the tensors of each network by its own names. A tensor belongs to the longest prefix that it has."""
    networks: dict[_Place, dict[str, _Tensor]] = {}
    for place, tensors in groups.items():
        prefixes = sorted({prefix for name in tensors if (prefix := _prefix(name, anchor)) is not None}, key=len)
        for prefix in prefixes:
            longer = tuple(each for each in prefixes if len(each) > len(prefix))
            own = [name for name in tensors if name.startswith(prefix) and not name.startswith(longer)]
            networks[_Place(place.keys, prefix)] = {_own_name(name, prefix): tensors[name] for name in own}
    return networks


def _belongs(name: str, place: _Place, keys: tuple[str, ...]) -> bool:
    return place.keys == keys and name.startswith(place.prefix)


def _prefix(name: str, anchor: str) -> str | None:
    """Return what precedes the anchor in a name that ends in it, with its dot. None for other names."""
    parts = name.split(".")
    position = len(parts)
    for wanted in reversed(anchor.split(".")):
        position -= 1
        while position >= 0 and parts[position] in _INSERTED:
            position -= 1
        if position < 0 or parts[position] != wanted:
            return None
    return "".join(f"{part}." for part in parts[:position])


def _own_name(name: str, prefix: str) -> str:
    return ".".join(part for part in name.removeprefix(prefix).split(".") if part not in _INSERTED)


def _nothing_found(
    content: Mapping[Any, Any], family: Weights, path: Path, groups: Mapping[_Place, Mapping[str, object]]
) -> WeightsWithoutTensors | WeightsMismatch:
    for other, anchor in ANCHORS.items():
        if _networks(groups, anchor):
            return WeightsMismatch(path, family, f"it is {other} weights, which the field {_FIELDS[other]} takes")
    place = max(groups, key=lambda each: len(groups[each]))
    if not groups[place]:
        listed = [f"{key} ({_describe(value)})" for key, value in content.items()]
        return WeightsWithoutTensors(path, f"it has {name_some(listed)}" if listed else "it is an empty dict")
    under = f" under {shortened(str(place))}" if place.keys else ""
    found = f"its keys{under} are {name_some(sorted(groups[place]))}"
    return WeightsMismatch(path, family, f"it has no key {ANCHORS[family]}; {found}")


def _describe(value: object) -> str:
    """What the value is, in words."""
    if isinstance(value, Mapping):
        return "a dict" if value else "an empty dict"
    if isinstance(value, list | tuple | set):
        return f"a {type(value).__name__} of {len(value)}"
    name = getattr(value, "type_name", type(value).__name__)
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
