"""Both sides of a step: prepared, compared by their outputs, and timed in turn."""

import json
import statistics
import subprocess
import tempfile

from tsdf_tools import project
from tsdf_tools.comparison.steps import CRAFT, STEPS, networks

# The largest norm-wise relative differences of outputs; a sign step turns the last digits of small gradients into whole steps.
LIMITS, OTHERS_LIMIT = {"x.grad": 2e-2, "w": 5e-2}, 1e-3


def with_pytorch(part, *arguments):
    """The command that runs a part of this package with the Python that has PyTorch. It is never imported here: a process starts
    with its parent's peak of memory, which would become ours."""
    return [project.PYTORCH, "-m", f"tsdf_tools.comparison.{part}", *arguments]


def our_command(name, folder):
    """The command that computes our side."""
    kind, files = STEPS[name][0], {n: f"{n}={folder}/{n}.safetensors" for n in networks(name)}
    command = [project.TSDF, "bench", "step", kind, "--input", f"{folder}/input.safetensors"]
    command += ["--output", f"{folder}/ours.safetensors", "--quiet"]
    if kind == "gradient":
        command += ["--generators", files["stargan"]]
    if kind == "train":
        generator, critic = networks(name)
        command += ["--generators", files[generator], "--critic", f"{folder}/{critic}.safetensors"]
    if kind == "craft":
        generators, detectors = CRAFT[name]
        command += ["--generators", ",".join(files[n] for n in generators)]
        command += ["--detectors", ",".join(detectors), "--models", folder]
    return command


def timed(process):
    """The seconds of one more run of a side."""
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def compare(name, rounds, cuda, tf32):
    """What docs/performance.json keeps of a step."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(with_pytorch("inputs", name, folder), cwd=project.TOOLS, check=True)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        ours = subprocess.Popen(our_command(name, folder), **pipes)
        flags = ["--cuda"] * cuda + ["--tf32"] * tf32
        theirs = subprocess.Popen(with_pytorch("pytorch_side", name, folder, *flags), cwd=project.TOOLS, **pipes)
        if theirs.stdout.readline().strip() != "ready":
            project.fail(f"{name}: the PyTorch side failed")
        for process in (ours, theirs):
            timed(process)  # warm-up; also waits for the first results
        found = subprocess.run(with_pytorch("differences", folder), cwd=project.TOOLS, check=True, stdout=subprocess.PIPE)
        errors = json.loads(found.stdout)
        for key, error in errors.items():
            if not tf32 and not error < LIMITS.get(key, OTHERS_LIMIT):
                project.fail(f"{name}: {key} differs from PyTorch's by {error}")
        times = [(timed(ours), timed(theirs)) for _ in range(rounds)]
        peaks = []
        for process in (ours, theirs):
            process.stdin.close()
            peaks.append(int(process.stdout.readline()))
            process.wait()
    ours_s, theirs_s = (statistics.median(column) for column in zip(*times))
    return {
        "name": name,
        "pytorch_seconds": theirs_s,
        "ours_seconds": ours_s,
        "ratio": statistics.median(b / a for a, b in times),
        "pytorch_peak_bytes": peaks[1],
        "ours_peak_bytes": peaks[0],
        "errors": errors,
    }
