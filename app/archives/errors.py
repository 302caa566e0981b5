"""Errors of archives. Each names the entry. All errors are drawn in app/finetune/error_tree.py."""

from humanize import naturalsize

from app.finetune.errors import DataError


class ArchiveError(DataError):
    """Base of the reasons why an archive is not unpacked."""

    code = "archive_invalid"


class ArchiveFormatUnknown(ArchiveError):
    code = "archive_format_unknown"

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the upload is {found}", "upload a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file with the images"
        )


class ArchiveDamaged(ArchiveError):
    code = "archive_damaged"

    def __init__(self, entry: str | None, reason: str) -> None:
        where = "the archive" if entry is None else f"the archive's entry {_shown(entry)}"
        super().__init__(f"{where} cannot be read: {reason}", "make the archive again and upload it")


class ArchiveEncrypted(ArchiveError):
    code = "archive_encrypted"

    def __init__(self, entry: str) -> None:
        super().__init__(f"the archive's entry {_shown(entry)} is encrypted", "make the archive without a password")


class ArchivePathUnsafe(ArchiveError):
    code = "archive_path_unsafe"

    def __init__(self, entry: str, reason: str) -> None:
        super().__init__(
            f"the archive's entry {_shown(entry)} {reason}",
            "make the archive in the folder of the images, with plain relative names",
        )


class ArchiveLink(ArchiveError):
    code = "archive_link"

    def __init__(self, entry: str) -> None:
        super().__init__(
            f"the archive's entry {_shown(entry)} is a link", "archive the files themselves: `zip -r`, or `tar -h`"
        )


class ArchiveSpecialFile(ArchiveError):
    code = "archive_special_file"

    def __init__(self, entry: str, kind: str) -> None:
        super().__init__(f"the archive's entry {_shown(entry)} is {kind}", "archive images and folders only")


class ArchiveNested(ArchiveError):
    code = "archive_nested"

    def __init__(self, entry: str) -> None:
        super().__init__(
            f"the archive's entry {_shown(entry)} is an archive itself", "unpack it, and archive the images themselves"
        )


class ArchiveNamesCollide(ArchiveError):
    code = "archive_names_collide"

    def __init__(self, first: str, second: str) -> None:
        super().__init__(
            f"the archive's entries {_shown(first)} and {_shown(second)} have one name, but for capitals or the way "
            "that accents are written",
            "rename one of them, or put both into one folder if they are of one person",
        )


class ArchiveTooManyEntries(ArchiveError):
    code = "archive_too_many_entries"

    def __init__(self, most: int) -> None:
        super().__init__(f"the archive has more than {most} entries", "divide it into several datasets")


class ArchiveTooLarge(ArchiveError):
    code = "archive_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the archive unpacks to more than {naturalsize(most)}",
            "divide it into several datasets, or reduce the images; the limit is your quota or the free disk",
        )


class ArchiveBomb(ArchiveError):
    code = "archive_bomb"

    def __init__(self, ratio: int) -> None:
        super().__init__(
            f"the archive unpacks to more than {ratio} times its size, as no archive of images does",
            "archive the images as PNG or JPEG files",
        )


class ArchiveWithoutImages(ArchiveError):
    code = "archive_without_images"

    def __init__(self, entries: int) -> None:
        super().__init__(
            f"the archive has no image among its {entries} entries",
            "archive a folder for each person with their photos, or a dataset with train_processed and val_processed",
        )


def _shown(entry: str) -> str:
    """The name on one line, whatever it contains."""
    text = entry if len(entry) <= 120 else f"{entry[:80]}…{entry[-30:]}"
    return repr(text)
