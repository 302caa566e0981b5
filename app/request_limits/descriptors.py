"""File descriptors: how many the process may open, and how many of them are for connections."""

import logging
import resource

MOST_DESCRIPTORS = 65_536
"""Enough for any number of connections that one process can serve."""

MOST_BACKLOG = 2048
"""Connections that the kernel keeps until the process accepts them, all at once. One that finds no place is tried
again by its client's kernel a second later: a crowd of a thousand must have room."""

RESERVED = 256
"""For the database, the broker, the log and the files of datasets."""

_log = logging.getLogger(__name__)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard limit. Return the new one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def backlog_of(descriptors: int) -> int:
    """Return the length of the queue of connections that are not accepted yet."""
    return min(MOST_BACKLOG, descriptors // 4)


def allowed_connections(wanted: int, descriptors: int) -> int:
    """Return how many connections fit. Each may need a second descriptor, such as that of the file it downloads."""
    fitting = max(1, (descriptors - RESERVED - backlog_of(descriptors)) // 2)
    if fitting < wanted:
        _log.warning(
            "the limit of %d open files allows %d connections, not %d: raise it (ulimit -n, LimitNOFILE)",
            descriptors,
            fitting,
            wanted,
        )
    return min(wanted, fitting)
