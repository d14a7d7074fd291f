"""Prints the norm-wise relative difference of each output of the two sides, as JSON.

Usage: python -m tsdf_tools.comparison.differences FOLDER
"""

import json
import os
import sys

from safetensors.torch import load_file


def differences(folder):
    ours, theirs = (load_file(os.path.join(folder, f"{side}.safetensors")) for side in ("ours", "pytorch"))
    if ours.keys() != theirs.keys():
        sys.exit(f"we give {', '.join(ours)}, PyTorch {', '.join(theirs)}")
    return {k: ((ours[k] - theirs[k]).norm() / theirs[k].norm()).item() for k in ours}


if __name__ == "__main__":
    print(json.dumps(differences(sys.argv[1])))
