"""Names of the datasets and weights that a config can use."""

from fastapi import APIRouter

from app.api_models.names import Names
from app.inputs.names import list_datasets, list_weights
from app.routes.dependencies import ServiceDep

router = APIRouter(tags=["inputs"])


@router.get("/datasets")
def get_datasets(service: ServiceDep) -> Names:
    """List the values of the config field `dataset`."""
    root = service.settings.datasets_dir
    return Names(root=str(root), names=list_datasets(root))


@router.get("/weights")
def get_weights(service: ServiceDep) -> Names:
    """List the values of the config fields `edgeface` and `dsr`, besides `job:ID`."""
    root = service.settings.weights_dir
    return Names(root=str(root), names=list_weights(root))
