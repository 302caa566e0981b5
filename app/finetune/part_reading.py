"""PartReading: how the images of a folder are read, and what they have to agree with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, Split
from app.finetune.dataset_errors import DatasetChanged
from app.finetune.dataset_folders import WHOLE
from app.finetune.manifest import built_pattern, differing, manifest_path, read_manifest
from app.finetune.subject_patterns import GUIDE, SubjectPattern


@dataclass(frozen=True)
class PartReading:
    """A `JobDataset` on the machine that reads.

    `manifest` is the file, None where the images were not checked before. `part` is the folder of the part in the
    dataset called `dataset`.
    """

    pattern: SubjectPattern = GUIDE
    manifest: Path | None = None
    dataset: str = ""
    part: str = WHOLE


def refuse_changed(
    reading: PartReading,
    split: Split,
    sha256s: Mapping[Path, bytes],
    folders: Sequence[str] = (VLR_FOLDER, HR_FOLDER),
) -> None:
    """Compare the images of a part with the manifest: the names of all of `split`, which lists these `folders`, and the
    digests of the files that were read. Raises DatasetChanged."""
    manifest = None if reading.manifest is None else read_manifest(reading.manifest)
    if manifest is None:
        return
    checked = manifest.of_part(reading.part)
    expected = {path: sha256 for path, sha256 in checked.items() if path.partition("/")[0] in folders}
    names = {image.path: manifest_path(image.path, split.directory) for image in split.images}
    found = {names[path]: sha256.hex() for path, sha256 in sha256s.items() if path in names}
    changed = expected.keys() ^ set(names.values()) | set(differing(expected, found))
    if changed:
        start = "" if reading.part == WHOLE else f"{reading.part}/"
        raise DatasetChanged(reading.dataset, [f"{start}{path}" for path in sorted(changed)])


AS_BUILT = PartReading()
"""By the guide's subject pattern, which `dataset build` uses, and with nothing to compare."""


def built_reading(directory: str | None) -> PartReading:
    """Return the reading of a folder without the service: by the pattern of the dataset's own manifest."""
    return AS_BUILT if directory is None else PartReading(built_pattern(Path(directory)))
