"""What stands in for the functions and classes of `torch.cuda`."""

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .graphs import Capture, Pool
from .memory import GraphPool, Memory
from .state import PretendedGpu, active


def index_of(device: object = None) -> int:
    """A device as `torch.cuda` takes them -> the number of the GPU; None for the current one."""
    if device is None:
        return active().current_index
    if isinstance(device, int):
        return active().check_index(device)
    named = torch.device(device)  # type: ignore[call-overload]
    if named.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {named}")
    return int(active().device(named).index)


class Device(contextlib.AbstractContextManager[None]):
    """`torch.cuda.device`: the current GPU inside; None or -1 changes nothing."""

    def __init__(self, device: object) -> None:
        self.idx = active().current_index if device in (None, -1) else index_of(device)

    def __enter__(self) -> None:
        self._before = active().current_index
        active().current_index = self.idx

    def __exit__(self, *_: object) -> None:
        active().current_index = self._before


class Stream:
    """Everything runs at once and in the order of the calls, whatever the stream. Number 0 is the default stream."""

    _numbers = itertools.count(1)

    def __init__(self, device: object = None, **_: object) -> None:
        self.device = torch.device("cuda", index_of(device))
        self.cuda_stream = next(self._numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self.cuda_stream) == (other.device, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def synchronize(self) -> None:
        active().note_wait("synchronize")

    def wait_stream(self, stream: object) -> None: ...

    def wait_event(self, event: object) -> None: ...

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record()
        return event

    def query(self) -> bool:
        return True


def default_stream(device: object = None) -> Stream:
    stream = Stream(device)
    stream.cuda_stream = 0
    return stream


def current_stream(device: object = None) -> Stream:
    stream = active().current_streams.get(index_of(device))
    return stream if isinstance(stream, Stream) else default_stream(device)


class StreamContext(contextlib.AbstractContextManager[None]):
    """`torch.cuda.stream`: the current stream inside; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        if self._stream is not None:
            self._before = current_stream(self._stream.device)
            _set_stream(self._stream)

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            _set_stream(self._before)


def _set_stream(stream: Stream) -> None:
    active().current_streams[stream.device.index] = stream


class Event:
    """`elapsed_time` is that of the host between the two calls of `record`."""

    def __init__(self, **_: object) -> None:
        self._recorded = 0.0

    def record(self, _: object = None) -> None:
        self._recorded = time.perf_counter()

    def wait(self, stream: object = None) -> None: ...

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        active().note_wait("synchronize")

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds."""
        return 1000 * (end._recorded - self._recorded)


class Graph:
    """`torch.cuda.CUDAGraph`."""

    def __init__(self, **_: object) -> None:
        self._pool: Pool | None = None
        self._capture: Capture | None = None

    def capture_begin(self, pool: Pool | None = None, **_: object) -> None:
        gpu = active()
        if gpu.capture is not None:
            raise RuntimeError("a graph is captured already")
        gpu.captures += 1
        self._pool = pool or graph_pool_handle()
        gpu.capture = Capture(self._pool)

    def capture_end(self) -> None:
        """Raises CaptureError where an operation was refused inside."""
        gpu = active()
        capture, gpu.capture = gpu.capture, None
        assert capture is not None
        capture.finish()
        self._capture = capture

    def replay(self) -> None:
        if self._capture is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        active().replays += 1
        self._capture.replay()

    def pool(self) -> Pool | None:
        return self._pool

    def reset(self) -> None:
        self._capture = None


def graph_pool_handle() -> Pool:
    gpu = active()
    return Pool(GraphPool(gpu.memories[gpu.current_index]))


class CaptureContext(contextlib.AbstractContextManager[None]):
    """`torch.cuda.graph`, which waits for the GPU before it begins. As there, an error of `capture_begin` or
    `capture_end` takes the place of one raised inside, and leaves the stream of the capture current."""

    def __init__(self, cuda_graph: Graph, pool: Pool | None = None, stream: Stream | None = None, **_: object) -> None:
        self._graph = cuda_graph
        self._pool = pool
        self._stream = StreamContext(stream or Stream())

    def __enter__(self) -> None:
        active().note_wait("synchronize")
        self._stream.__enter__()
        self._graph.capture_begin(self._pool)

    def __exit__(self, *_: object) -> None:
        self._graph.capture_end()
        self._stream.__exit__()


def fakes(gpu: PretendedGpu) -> Mapping[str, Any]:
    """Names in `torch.cuda` -> what stands there while `gpu` is pretended."""
    return {
        **_devices(gpu),
        **_memory(gpu),
        **_random(gpu),
        "CUDAGraph": Graph,
        "Event": Event,
        "Stream": Stream,
        "current_stream": current_stream,
        "default_stream": default_stream,
        "device": Device,
        "graph": CaptureContext,
        "graph_pool_handle": graph_pool_handle,
        "is_current_stream_capturing": lambda: gpu.capture is not None,
        "stream": StreamContext,
    }


def _devices(gpu: PretendedGpu) -> Mapping[str, Callable[..., Any]]:
    def synchronize(device: object = None) -> None:
        index_of(device)
        gpu.note_wait("synchronize")

    def set_device(device: object) -> None:
        gpu.current_index = index_of(device)

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return gpu.bf16 or including_emulation

    return {
        "current_device": lambda: gpu.current_index,
        "device_count": lambda: gpu.visible_gpus,
        "get_device_capability": lambda *_: gpu.capability,
        "get_device_name": lambda device=None: gpu.properties(index_of(device)).name,
        "get_device_properties": lambda device=None: gpu.properties(index_of(device)),
        "init": gpu.initialize,
        "is_available": lambda: gpu.visible_gpus > 0,
        "is_bf16_supported": is_bf16_supported,
        "is_initialized": lambda: gpu.is_initialized,
        "set_device": set_device,
        "synchronize": synchronize,
    }


def _memory(gpu: PretendedGpu) -> Mapping[str, Callable[..., Any]]:
    def memory(device: object = None) -> Memory:
        return gpu.memories[index_of(device)]

    def mem_get_info(device: object = None) -> tuple[int, int]:
        return memory(device).free_bytes, gpu.memory_bytes

    def live_bytes(device: object = None) -> int:
        return memory(device).live_bytes

    def peak_bytes(device: object = None) -> int:
        return memory(device).peak_bytes

    return {
        "empty_cache": lambda: None,
        "max_memory_allocated": peak_bytes,
        "max_memory_reserved": peak_bytes,
        "mem_get_info": mem_get_info,
        "memory_allocated": live_bytes,
        "memory_reserved": live_bytes,
        "reset_peak_memory_stats": lambda device=None: memory(device).reset_peak(),
    }


def _random(gpu: PretendedGpu) -> Mapping[str, Callable[..., Any]]:
    def generator(device: object = None) -> torch.Generator:
        return gpu.generator(torch.device("cuda", index_of(device)))

    def manual_seed_all(seed: int) -> None:
        for index in range(gpu.visible_gpus):
            generator(index).manual_seed(seed)

    def set_rng_state(state: Tensor, device: object = None) -> None:
        generator(device).set_state(state)

    return {
        "get_rng_state": lambda device=None: generator(device).get_state(),
        "manual_seed": lambda seed: generator().manual_seed(seed),
        "manual_seed_all": manual_seed_all,
        "set_rng_state": set_rng_state,
    }
