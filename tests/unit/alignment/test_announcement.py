"""LiteRT writes nothing to the terminal or the log, and nobody else's line is lost."""

import subprocess
import sys

_RUN = """
import os, sys, threading
from app.alignment.finder import FaceFinder

def work(number):
    os.write(2, b"one\\n")
    FaceFinder()
    print("two", file=sys.stderr, flush=True)

threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.write(2, b"end\\n")
"""


def test_networks_announce_nothing_and_swallow_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, timeout=120, check=True)
    assert [done.stderr.count(word) for word in ("one", "two", "INFO")] == [3, 3, 0]
    assert done.stderr.endswith("end\n")


def test_networks_are_made_without_a_standard_error() -> None:
    run = "import os; os.close(2); from app.alignment.finder import FaceFinder; FaceFinder(); print('made')"
    done = subprocess.run([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    assert done.stdout == "made\n"
