"""Tasks for limited children: each does one thing that a child may do, or must not."""

import os
import resource
import signal
import sys
from pathlib import Path

from pydantic import BaseModel

from app.finetune.weights_errors import WeightsError, WeightsUnsafe
from app.isolated.task import FileRequest, Limits, Progress, Task

MIB = 2**20
LIMITS = Limits(memory_bytes=64 * MIB, wall_seconds=30, written_file_bytes=4096, answer_bytes=65536)


class Act(FileRequest):
    """What the task does, and where it writes."""

    act: str
    output: str = ""


class Acted(BaseModel):
    said: list[str] = []


ACT: Task[Act, Acted] = Task(
    name="tests.support.isolated_tasks:ACT",
    run="tests.support.isolated_tasks:act",
    request=Act,
    result=Acted,
    limits=LIMITS,
    errors=(WeightsError,),
    at_once=2,
)


def act(request: Act, progress: Progress) -> Acted:
    return Acted(said=getattr(_Acts(), request.act)(request, progress))


class _Acts:
    def name(self, request: Act, _: Progress) -> list[str]:
        return [ascii(request.path.name), request.path.read_text()]

    def surroundings(self, _: Act, __: Progress) -> list[str]:
        descriptors = [path.name for path in Path("/proc/self/fd").iterdir()]
        open_ones = [name for name in descriptors if int(name) > 2 and Path(f"/proc/self/fd/{name}").exists()]
        return ["|".join(open_ones), "|".join(os.environ), "|".join(sys.modules), str(os.getpgrp() == os.getpid())]

    def refuse(self, request: Act, _: Progress) -> list[str]:
        raise WeightsUnsafe(request.path, "os.system")

    def fail(self, _: Act, __: Progress) -> list[str]:
        raise KeyError("what no task raises on purpose")

    def take_memory(self, _: Act, __: Progress) -> list[str]:
        return [str(len(bytearray(256 * MIB)))]

    def loop(self, _: Act, progress: Progress) -> list[str]:
        progress(os.getpid(), 0)
        while True:
            pass

    def sleep(self, _: Act, progress: Progress) -> list[str]:
        progress(os.getpid(), 0)
        signal.pause()
        return []

    def start_another(self, _: Act, progress: Progress) -> list[str]:
        if (pid := os.fork()) == 0:
            signal.pause()
        progress(pid, 0)
        signal.pause()
        return []

    def write(self, request: Act, _: Progress) -> list[str]:
        Path(request.output).write_bytes(bytes(8192))
        return []

    def say_much(self, _: Act, __: Progress) -> list[str]:
        return ["x" * 2 * MIB]

    def crash(self, _: Act, __: Progress) -> list[str]:
        os.kill(os.getpid(), signal.SIGSEGV)
        return []

    def limits(self, _: Act, __: Progress) -> list[str]:
        return [str(resource.getrlimit(name)[1]) for name in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]
