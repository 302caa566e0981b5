"""Copies between the CPU and a pretended GPU: what arrives, and how often the CPU waits."""

import io
from collections import Counter

import torch
from torch import Tensor, nn

from tests.pretended_gpu import pretended_gpu
from worker.training.runtime.transfers import on_cpu, to_device, upload
from worker.training.storage.atomic import saved_bytes

GPU = torch.device("cuda", 0)


def content(device: torch.device) -> dict[str, object]:
    """As a train state has it: weights, also of convolutions on a GPU, moments and counters, and plain values."""
    convolution = nn.Conv2d(3, 4, 3)
    weight = convolution.weight.detach().to(device).to(memory_format=torch.channels_last)
    twice = torch.arange(6.0).view(2, 3).to(device).T
    moments = {index: {"step": torch.tensor(3.0).to(device), "seen": twice} for index in range(5)}
    flags = [torch.tensor([True, False]).to(device), torch.arange(3).to(device), torch.ones(2)]
    return {"weight": weight, "state": moments, "rest": (flags, None, "name", 0.5), "twice": twice, "none": []}


def test_all_tensors_arrive_on_the_cpu_as_they_were_with_one_wait() -> None:
    torch.manual_seed(0)
    expected = content(torch.device("cpu"))
    with pretended_gpu() as gpu:
        torch.manual_seed(0)
        on_gpu = content(GPU)
        gpu.waits.clear()
        gpu.copies.clear()
        arrived = on_cpu(on_gpu)
        assert gpu.waits.total() == 1
        assert not gpu.copies
    assert str(arrived) == str(expected)
    weight, wanted = arrived["weight"], expected["weight"]
    assert isinstance(weight, Tensor) and isinstance(wanted, Tensor)
    assert weight.stride() == wanted.stride()
    assert weight.untyped_storage().nbytes() == weight.nbytes, "a file holds no more than the tensor"
    assert arrived["twice"] is arrived["state"][4]["seen"]  # type: ignore[index]


def test_a_file_of_a_gpu_is_the_file_of_the_cpu() -> None:
    torch.manual_seed(0)
    expected = saved_bytes(content(torch.device("cpu")))
    with pretended_gpu():
        torch.manual_seed(0)
        assert saved_bytes(content(GPU)) == expected
    assert torch.load(io.BytesIO(expected), weights_only=True)["none"] == []


def test_content_of_the_cpu_is_passed_through() -> None:
    plain = content(torch.device("cpu"))
    assert on_cpu(plain) is plain


def test_where_memory_is_short_each_tensor_is_copied_by_itself() -> None:
    with pretended_gpu() as gpu:
        tensors = [torch.full((4,), float(number)).to(GPU) for number in range(3)]
        gpu.fail(torch.OutOfMemoryError("CUDA out of memory."), operation="cat")
        assert [tensor.tolist() for tensor in on_cpu(tensors)] == [[0.0] * 4, [1.0] * 4, [2.0] * 4]


def test_the_cpu_does_not_wait_for_what_it_sends() -> None:
    with pretended_gpu() as gpu:
        sent = to_device(torch.arange(5), GPU)
        large = (torch.arange(70 * 2**10) % 251).to(torch.uint8)[:, None].expand(-1, 2**10)
        uploaded = upload(large, GPU)
        assert (gpu.waits, gpu.copies) == (Counter(), Counter())
        assert gpu.operations["aten.copy_.default"] == 1 + 2, "the 70 MiB in two pieces"
        assert sent.tolist() == list(range(5))
        assert torch.equal(uploaded.cpu(), large)
