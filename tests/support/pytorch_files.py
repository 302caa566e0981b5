"""The files by which an installed PyTorch is known."""

from pathlib import Path


def write_pytorch(folder: Path, cuda: str | None) -> Path:
    """For a folder of `sys.path`, which is returned: PyTorch built for this version of CUDA. It cannot be imported."""
    for name, text in {"torch-3.dist-info/METADATA": "Name: torch", "torch/version.py": f"cuda = {cuda!r}"}.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    return folder
