"""Names of downloaded files, which tell the files of two jobs apart."""

import re

_LONGEST = 60


def download_name(job_id: str, name: str, file_name: str) -> str:
    """Return `NAME-ID_FILE`, or `ID_FILE` for a job without a name.

    NAME is the name of the job, with `-` in place of what is not a letter, a digit, `.` or `_`. ID are the last six
    characters of the id, which are random; the first twelve are the time, and jobs of one hour share most of them.
    """
    plain = re.sub(r"[^\w.]+", "-", name)[:_LONGEST].strip("-.")
    return f"{f'{plain}-' if plain else ''}{job_id[-6:]}_{file_name}"
