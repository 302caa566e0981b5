"""Runs a task on an untrusted file in a limited process of its own, which reads one file and ends.

    task.py       what a task is: its name, its types, its limits
    run.py        `run(task, request)`, for the service, the worker and the commands
    server.py     a process that imported what its tasks need, and forks a child for each request
    child.py      what runs in the child: limits, then the task
    messages.py   what child and caller say to each other: JSON, one message a line
    errors.py     what ends a child, as errors that name the file

A task is a constant in a module that imports little:

    CHECK = Task(
        name="app.inputs.weights_task:CHECK",         # where this constant is
        run="app.inputs.weights_reading:check",       # check(request, progress) -> result
        request=CheckRequest,                         # has `path`, which errors name
        result=CheckResult,
        limits=Limits(memory_bytes=512 * 2**20, wall_seconds=30),
        errors=(WeightsError,),                       # what `run` may raise
    )

`run(CHECK, CheckRequest(path=path))` then returns a CheckResult, or raises a WeightsError or an error of errors.py. A
task whose modules are in `WARM` of server.py, for the server that it names, starts within milliseconds.
"""
