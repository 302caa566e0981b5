"""Archives from people who are not trusted: zip and tar, unpacked into an empty folder.

errors.py      one error for each way in which an archive can be refused
limits.py      how much an archive may contain
names.py       names that stay inside the folder and differ on every file system
zip_files.py   the entries of a zip file
tar_files.py   the entries of a tar file, compressed or not
unpack.py      all of it
"""

from app.archives.limits import ArchiveLimits
from app.archives.unpack import Unpacked, unpack

__all__ = ["ArchiveLimits", "Unpacked", "unpack"]
