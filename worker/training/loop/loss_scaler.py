"""The loss scaling that fp16 needs."""

from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

FIRST_SCALE = 2.0**8
"""PyTorch's 2**16 overflows the gradients of the first steps of stage 2, each of which is then lost."""


class LossScaler:
    """Loss scaling (Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2) by PyTorch's GradScaler;
    unless `enabled` it changes nothing.

    A step whose gradients are not finite is skipped, and halves the scale. The device counts these steps, so that no
    step waits for it.
    """

    def __init__(self, device: str, *, enabled: bool) -> None:
        self.enabled = enabled
        self._scaler = GradScaler(device, init_scale=FIRST_SCALE, enabled=enabled)
        self._one: Tensor | None = None
        self._skipped: Tensor | None = None

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to differentiate."""
        if self.enabled and self._one is None:
            self._one = torch.ones((), device=loss.device)
        return self._scaler.scale(loss)

    def step(self, optimizer: Optimizer) -> None:
        """Step with the gradients of scaled losses, then adapt the scale. Waits for the device, unless the optimizer
        is `fused`."""
        if self._one is None:
            optimizer.step()
            return
        before = self._scaler.scale(self._one)
        self._scaler.step(optimizer)
        self._scaler.update()
        skipped = self._scaler.scale(self._one) < before
        self._skipped = skipped.long() if self._skipped is None else self._skipped + skipped

    def take_skipped(self) -> int:
        """The number of steps skipped since the last call. Waits for the device."""
        skipped = 0 if self._skipped is None else int(self._skipped)
        self._skipped = None
        return skipped

    @property
    def factor(self) -> float:
        """The scale. Waits for the device."""
        return self._scaler.get_scale()

    def state_dict(self) -> dict[str, Any]:
        """Empty unless enabled."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state and self.enabled:  # empty where the precision that saved it needs none
            self._scaler.load_state_dict(state)
