"""The devices that CUDA shows, by CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER."""

import pytest

from worker.gpu.visible import Device, OrderUnknown, visible_devices

# NVML's numbers need not follow the bus.
A = Device(None, 1, "GPU-aaa1", "NVIDIA H200", "00000000:01:00.0")
B = Device(None, 0, "GPU-aab2", "NVIDIA H200", "00000000:81:00.0")
SLOW = Device(None, 2, "GPU-ccc3", "NVIDIA L4", "00000000:C1:00.0")
PART = Device(None, 3, "MIG-ddd4", "NVIDIA H200 MIG 1g.18gb", "00000000:E1:00.0", instance=True)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, [A, B]),
        ("1", [B]),
        ("1, 0", [B, A]),
        ("GPU-aab2", [B]),
        ("GPU-aab,GPU-aaa", [B, A]),
        ("GPU-aa", []),  # fits both
        ("1,9,0", [B]),
        ("1,-1,0", [B]),
        ("0,0", []),
        ("", []),
        ("-1", []),
        ("MIG-ddd4", [PART]),
    ],
)
def test_the_list_is_read_as_cuda_reads_it(chosen: str | None, expected: list[Device]) -> None:
    environ = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert visible_devices([B, A, PART], environ) == expected


def test_gpus_of_several_kinds_need_the_order_of_the_bus_unless_uuids_name_them() -> None:
    for environ in ({}, {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, {"CUDA_VISIBLE_DEVICES": "1"}):
        with pytest.raises(OrderUnknown):
            visible_devices([SLOW, A], environ)
    assert visible_devices([SLOW, A], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == [A, SLOW]
    assert visible_devices([SLOW, A], {"CUDA_VISIBLE_DEVICES": "GPU-ccc3"}) == [SLOW]


def test_a_divided_gpu_alone_shows_its_first_instance() -> None:
    assert visible_devices([PART], {}) == [PART]
