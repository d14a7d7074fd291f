"""AMD's GPUs: clang's AMDGPU back end with ROCm's device libraries, which are what AMD's driver compiles with."""
import re
import subprocess

from usage import Failure, Program, Usage

#: By architecture, the waves of a SIMD (the back end's own bound, LLVM's AMDGPUSubtarget.getMaxWavesPerEU).
DEVICES = {"gfx90a": 8, "gfx1030": 16}
LIBRARIES = "/usr/lib/x86_64-linux-gnu/amdgcn/bitcode"


def version() -> str:
    return subprocess.run(["clang-15", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def compiled(program: Program, device: str) -> list[Usage]:
    """Registers, scratch, local memory and occupancy are remarks of the back end; the last for 256 work-items a group."""
    command = [
        "clang-15", "-x", "cl", "-target", "amdgcn-amd-amdhsa", f"-mcpu={device}", "-O3", *program.options,
        f"--rocm-device-lib-path={LIBRARIES}", "-Rpass-analysis=kernel-resource-usage", "-c", "-", "-o", "/dev/null"]
    run = subprocess.run(command, input=program.text, capture_output=True, text=True)
    if run.returncode != 0:
        raise Failure(device, program.name, run.stderr)
    kernels: list[dict[str, str]] = []
    for field, value in re.findall(r"remark: +([^:\n]+): (\S+)", run.stderr):
        if field == "Function Name":
            kernels.append({})
        kernels[-1][field] = value
    return [
        Usage(
            kernel=k["Function Name"], registers=int(k["VGPRs"]) + int(k.get("AGPRs", 0)),
            spilled=4 * (int(k["VGPRs Spill"]) + int(k["SGPRs Spill"])), scratch=int(k["ScratchSize [bytes/lane]"]),
            local=int(k["LDS Size [bytes/block]"]), occupancy=int(k["Occupancy [waves/SIMD]"]) / DEVICES[device])
        for k in kernels]
