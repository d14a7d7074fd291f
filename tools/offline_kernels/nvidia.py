"""NVIDIA's GPUs: clang's NVPTX back end with libclc, and NVIDIA's assembler. The driver's own compiler of OpenCL C comes
before that assembler in clang's place, so that registers may differ by some."""
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass

from usage import Failure, Program, Usage

LIBRARY = "/usr/lib/clc/nvptx64--nvidiacl.bc"


@dataclass
class Multiprocessor:
    """Limits of the CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"."""

    warps: int
    groups: int
    shared: int
    registers: int = 65536
    #: Registers are given to warps in units of this many, and each group takes 1 KiB of shared memory for itself.
    unit: int = 256
    reserved: int = 1024

    def occupancy(self, registers: int, local: int, group: int) -> float:
        """By the rules of NVIDIA's occupancy calculator."""
        warps = (group + 31) // 32
        a_warp = (registers * 32 + self.unit - 1) // self.unit * self.unit
        by_registers = self.registers // a_warp // warps if a_warp else self.groups
        by_shared = self.shared // (local + self.reserved)
        return min(self.warps // warps, self.groups, by_registers, by_shared) * warps / self.warps


DEVICES = {
    "sm_90": Multiprocessor(warps=64, groups=32, shared=228 << 10),
    "sm_86": Multiprocessor(warps=48, groups=16, shared=100 << 10),
}


def version() -> str:
    text = subprocess.run(["ptxas", "--version"], capture_output=True, text=True, check=True).stdout
    return "ptxas " + re.search(r"release [^\n]*", text)[0]


def compiled(program: Program, device: str) -> list[Usage]:
    with tempfile.TemporaryDirectory() as folder:
        assembly = os.path.join(folder, "program.ptx")
        clang = [
            "clang-15", "-x", "cl", "-target", "nvptx64-nvidia-cuda", "-Xclang", "-target-feature", "-Xclang", "+ptx75",
            "-Xclang", "-mlink-builtin-bitcode", "-Xclang", LIBRARY, "-O3", *program.options, "-S", "-", "-o", assembly]
        run = subprocess.run(clang, input=program.text, capture_output=True, text=True)
        if run.returncode == 0:
            ptxas = ["ptxas", "-v", "-arch", device, assembly, "-o", os.path.join(folder, "program.cubin")]
            run = subprocess.run(ptxas, capture_output=True, text=True)
        if run.returncode != 0:
            raise Failure(device, program.name, run.stderr)
    usages = []
    for name, stack, stores, registers, rest in re.findall(
            r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores"
            r".*?Used (\d+) registers([^\n]*)", run.stderr, re.DOTALL):
        shared = re.search(r"(\d+) bytes smem", rest)
        local = int(shared[1]) if shared else 0
        usages.append(
            Usage(
                name, int(registers), int(stores), int(stack), local,
                DEVICES[device].occupancy(int(registers), local, program.group)))
    return usages
