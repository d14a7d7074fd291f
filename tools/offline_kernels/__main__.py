"""Compiles every kernel of the GPU class for Intel's, AMD's and NVIDIA's GPUs without having one, and prints what each takes
of them as a table in Markdown. Fails where a kernel does not compile, or keeps anything in memory for want of registers, but
for the large tile: where that does, the host is told so by the device's driver and takes the small one (OpenCLDevice's
bytesBesideRegisters).

    tsdf devices --kernels | python3 tools/offline_kernels
"""
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import amd
import intel
import nvidia
from usage import Failure, Program, Usage

MAKERS = [intel, amd, nvidia]
#: Registers that leave every device the better part of its occupancy.
LIGHT = 42


def programs(listing: dict) -> list[Program]:
    """Products are listed once for each size of work-group, which their names end with; what else there is runs in up to 256."""
    options = listing["options"].split()
    sizes = [re.search(r"^tiled_.*_(\d+)$", p["name"]) for p in listing["programs"]]
    return [
        Program(p["name"], p["text"], options, int(size[1]) if size else 256)
        for p, size in zip(listing["programs"], sizes)]


def row(program: str, kernel: str) -> str:
    """The row of the table that a kernel is part of: tiles by their shape, kernels of one line by their family."""
    family = re.match(r"(unary|binary|random|peak_fma)_", kernel)
    if family:
        return f"`{family[1]}_*`"
    tile = re.match(r"tiled_(\w+?)_\d+$", program)
    return f"`{kernel}`, {tile[1]}" if tile else f"`{kernel}`"


def cell(usage: Usage | None) -> str:
    if usage is None:
        return "not compiled"
    kept = f", {usage.scratch} bytes in memory" if usage.scratch else ""
    kept += f", {usage.spilled} spilled" if usage.spilled else ""
    size = f"SIMD{usage.width}" if usage.width else f"{usage.registers}"
    return f"{size}, {100 * usage.occupancy:.0f}%{kept}"


def gathered(table: dict[str, dict[str, Usage]]) -> dict[str, dict[str, Usage]]:
    """The table with what takes few registers everywhere as one row, the worst of it."""
    light, rest = {}, {}
    count = 0
    for name, line in table.items():
        registers = [usage.registers for usage in line.values() if usage.width is None]
        if "," in name or max(registers, default=0) > LIGHT or any(u.scratch or u.spilled for u in line.values()):
            rest[name] = line
            continue
        count += 1
        for device, usage in line.items():
            light[device] = usage.worst(light[device]) if device in light else usage
    return {f"the {count} others, the worst of them": light} | rest


def main() -> int:
    listed = programs(json.load(sys.stdin))
    devices = [(maker, device) for maker in MAKERS for device in maker.DEVICES]

    def attempt(job: tuple) -> list[Usage] | Failure:
        maker, device, program = job
        try:
            return maker.compiled(program, device)
        except Failure as failure:
            return failure

    jobs = [(maker, device, program) for program in listed for maker, device in devices]
    with ThreadPoolExecutor(cpu_count()) as pool:
        results = list(pool.map(attempt, jobs))
    table: dict[str, dict[str, Usage]] = {}
    complaints = []
    for (_, device, program), result in zip(jobs, results):
        if isinstance(result, Failure):
            complaints.append(f"{program.name} does not compile for {device}:\n{result.log}")
            continue
        for usage in result:
            if (usage.spilled or usage.scratch) and not program.name.startswith("tiled_large"):
                complaints.append(f"{usage.kernel} of {program.name} on {device}: {cell(usage)}")
            line = table.setdefault(row(program.name, usage.kernel), {})
            line[device] = usage.worst(line[device]) if device in line else usage
    print("; ".join(maker.version() for maker in MAKERS) + "\n")
    print("| kernel | " + " | ".join(device for _, device in devices) + " | local memory |")
    print("|---" * (len(devices) + 2) + "|")
    for name, line in gathered(table).items():
        local = max(usage.local for usage in line.values())
        cells = [cell(line.get(device)) for _, device in devices]
        print(f"| {name} | " + " | ".join(cells) + f" | {f'{local / 1024:.1f} KiB' if local else ''} |")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
