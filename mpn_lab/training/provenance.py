"""What a run's numbers depend on to the last bit: versions, machine, threads; and its identity."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

import mpn_lab
from mpn_lab.networks.autograd import kernels_work


def package_versions(*more: str) -> dict[str, str]:
    """Versions of mpn_lab, of the libraries whose change may change a result, and of Python."""
    names = ("torch", "numpy", "neurogym", "gymnasium", "scipy", "numba", "llvmlite", *more)
    versions = {"mpn_lab": mpn_lab.__version__} | {name: _version(name) for name in names}
    return versions | {"python": platform.python_version()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def describe_machine(device: str) -> dict[str, str]:
    """Describe what the compiled code is chosen by: system, processor, its vectors, and the GPU."""
    try:
        from llvmlite.binding import get_host_cpu_name  # a tenth of a second

        cpu = get_host_cpu_name()  # what numba compiles for
    except ImportError:  # then nothing is compiled
        cpu = platform.processor()
    machine = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": cpu,
        "vectors": torch.backends.cpu.get_cpu_capability(),  # what torch uses
        "kernels": "compiled" if kernels_work() else "plain",  # what an MPN runs on the CPU
    }
    if torch.device(device).type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
    return machine


def identity_of(content: dict[str, Any]) -> str:
    """Return the identity of a run: the SHA-256 of all of its config.json but the identity itself.

    It covers the configuration, the seed and all that the numbers depend on: runs of one identity
    have the same numbers.
    """
    rest = {name: value for name, value in content.items() if name != "identity"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def changes(content: dict[str, Any], device: str, threads: int) -> list[str]:
    """List what differs between the start of a run and now, each as "NAME BEFORE to AFTER".

    Args:
        content: the content of config.json.
        device: device of the network now.
        threads: number of torch threads now.
    """
    began = {"device": content.get("device"), "threads": content.get("threads")}
    now: dict[str, Any] = {"device": device, "threads": threads}
    for key, current in (
        ("versions", package_versions()),
        ("machine", describe_machine(device)),
    ):
        began |= content.get(key, {})
        now |= current
    return [f"{name} {began.get(name)} to {v}" for name, v in now.items() if began.get(name) != v]
