"""Where things lie in the project, and how its commands end and start others."""

import os
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILT = os.path.join(TOP, ".build", "release")
TOOLS = os.path.join(TOP, "tools")
TSDF = os.path.join(BUILT, "tsdf")
MODELS = os.path.join(TOP, "models")
# The Python that has PyTorch.
PYTORCH = os.environ.get("TSDF_PYTORCH", "python3")


def fail(message):
    """Ends the command with a message."""
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


def require_pytorch():
    """Ends the command where PYTORCH cannot do what it is there for."""
    found = shutil.which(PYTORCH)
    if not found or subprocess.run([PYTORCH, "-c", "import numpy, safetensors, torch"], stderr=subprocess.DEVNULL).returncode:
        fail(f"{PYTORCH} has no torch, numpy and safetensors: name a Python that has them in TSDF_PYTORCH")


def run_with_pytorch():
    """Starts the command again with the Python that has PyTorch."""
    if os.environ.pop("TSDF_RESTARTED", None) is None:
        require_pytorch()
        os.environ["TSDF_RESTARTED"] = "1"
        os.execvp(PYTORCH, [PYTORCH, *sys.argv])


def pillow():
    """Pillow's module of images, of a copy that lies with what is built."""
    folder = os.path.join(TOP, ".build", "pillow")
    if not os.path.exists(folder):
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "pillow==12.0.0"], check=True)
    sys.path.insert(0, folder)
    from PIL import Image

    return Image
