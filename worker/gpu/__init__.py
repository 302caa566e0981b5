"""The machine's GPUs, read by NVML without PyTorch."""
