"""Intel's GPUs: ocloc, the driver's compiler."""
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass

import elf
from usage import Failure, Program, Usage


@dataclass
class XeCore:
    """Limits of Intel's "oneAPI GPU Optimization Guide", "Thread Mapping and GPU Occupancy"."""

    engines: int
    #: The fewest work-items that share a thread's registers: what the host finds on such a device, and asks for (SUB_GROUP).
    sub_group: int
    shared: int = 128 << 10

    def occupancy(self, registers: int, width: int, local: int, group: int) -> float:
        """An engine has 8 threads of 128 registers, or 4 of 256."""
        most = self.engines * 8
        threads = most * 128 // max(registers, 128)
        a_group = (group + width - 1) // width
        if local:
            threads = min(threads, self.shared // local * a_group)
        return threads // a_group * a_group / most


DEVICES = {"dg2-g10": XeCore(engines=16, sub_group=8), "pvc": XeCore(engines=8, sub_group=16)}


def version() -> str:
    command = ["dpkg-query", "-f", "${Package} ${Version}", "-W", "intel-opencl-icd"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compiled(program: Program, device: str) -> list[Usage]:
    """What is in the kernels' descriptions (.ze_info, YAML) of the binary."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, "program.cl"), os.path.join(folder, "program")
        with open(source, "w") as file:
            file.write(re.sub(r"(#define SUB_GROUP) \d+", rf"\1 {DEVICES[device].sub_group}", program.text))
        command = [
            "ocloc", "compile", "-file", source, "-device", device, "--format", "zebin", "-options",
            " ".join(program.options), "-out_dir", folder, "-output", "program", "-output_no_suffix"]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0 or not os.path.exists(binary):
            raise Failure(device, program.name, run.stdout + run.stderr)
        with open(binary, "rb") as file:
            info = elf.sections(file.read())[".ze_info"].decode()
    usages = []
    for text in info.split("kernels_misc_info:")[0].split("\n  - name: ")[1:]:
        if text.strip().startswith("Intel_"):
            continue  # the compiler's own

        def number(field: str, text: str = text) -> int:
            found = re.search(rf"\b{field}: +(\d+)", text)
            return int(found[1]) if found else 0

        width, registers, local = number("simd_size"), number("grf_count"), number("slm_size")
        spilled, scratch = 0, 0
        for usage, size, each in re.findall(r"usage: +(\w+)\s+size: +(\d+)(\s+is_simt_thread: +true)?", text):
            # A thread's memory serves all its lanes, if it is not said to be a lane's.
            a_lane = int(size) if each else int(size) // width
            spilled += a_lane if "spill" in usage else 0
            scratch += a_lane
        usages.append(
            Usage(
                text.split()[0], registers, spilled, scratch, local,
                DEVICES[device].occupancy(registers, width, local, program.group), width))
    return usages
