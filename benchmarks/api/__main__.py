"""`python -m benchmarks.api --json FILE [--check] [--quick] [--only PART]`."""

import resource
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.api import crowds, fan_out, requests, submissions, training
from benchmarks.support import Outcome, argument_parser, describe_machine, report

PARTS = {
    "fan-out": fan_out.measure,
    "requests": requests.measure,
    "submissions": submissions.measure,
    "training": training.measure,
    "crowds": crowds.measure,
}
PACKAGES = ("fastapi", "starlette", "uvicorn", "pydantic", "sqlalchemy", "torch")
OPEN_FILES = 4096


def main() -> int:
    parser = argument_parser(
        "Event streams and GET /jobs/{id} under load, alone and while a job trains, and submissions."
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="run only this part; may be repeated")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, which ends the servers
    # A thousand readers need a thousand sockets on each side. The servers inherit the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if most == resource.RLIM_INFINITY else most, most))
    machine, outcome = describe_machine(PACKAGES), Outcome()
    for name, measure in PARTS.items():
        if arguments.only is None or name in arguments.only:
            with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
                outcome.add(measure(Path(folder), quick=arguments.quick))
    return report("api", machine, outcome, arguments)


if __name__ == "__main__":
    sys.exit(main())
