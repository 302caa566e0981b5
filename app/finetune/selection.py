"""Selection: the criterion that selects the best epoch."""

from typing import Literal

Selection = Literal["val_accuracy", "verification_auc", "last_epoch"]
