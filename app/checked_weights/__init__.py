"""Checks weights files in limited children, and keeps a checked copy of each for the trainer.

check.py         `check_weights(path, family)`: for the service, the worker and the commands
task.py          the task and its types; the modules below run in a child alone
reading.py       the task: a file's network, its shapes, its values, its copy
archive.py       the archive that torch.save writes, without unpacking anything
pickled.py       its pickle, by an allow list of opcodes; no name in it is imported
pickled_names.py what that pickle may name, and what becomes of it
tensors.py       tensors: a dtype, a shape and a place in the file, which must hold all of it
safetensors_header.py   the same of a safetensors file
copies.py        the copies: one safetensors file for each file and family, named by the file's sha256
"""
