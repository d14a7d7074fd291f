#!/usr/bin/env python3
"""Writes a reader's first inputs, and a dictionary of what they are made of, for tools/fuzz. (Those of pictures: Seeds.swift.)

Usage: make-corpus.py READER FOLDER   (inputs go to FOLDER, the dictionary to FOLDER.dict)
"""

import os
import shutil
import sys
import zipfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDENS = os.path.join(TOP, "Tests/Goldens")


def long1(value):
    return b"\x8a\x09" + value.to_bytes(8, "little") + b"\x00"


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value


def storage(kind, key):
    return b"(" + text(b"storage") + b"ctorch\n" + kind + b"Storage\n" + text(key) + text(b"cpu") + b"K\x04tQ"


def tensor(shape, strides, offset=0, kind=b"Float"):
    numbers = lambda values: b"(" + b"".join(map(long1, values)) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, b"0") + long1(offset) + numbers(shape)
            + numbers(strides) + b"\x89NtR")


def dictionary(*items):
    return b"}(" + b"".join(text(key) + value for key, value in items) + b"u"


def pickles():
    """Whole pickles: what is well-formed, and each kind that once broke the reader."""
    with zipfile.ZipFile(os.path.join(GOLDENS, "checkpoints/zip.pth")) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        yield archive.read(name)
    huge = 2**63 - 1
    for shape, strides, offset in [([2, 2], [2, 1], 0), ([huge], [1], 0), ([2**32, 2**32], [1, 1], 0), ([0, huge], [1, 1], 0), ([2], [1], huge), ([4], [0], 1), ([1, 3, 1], [huge, 1, huge], 1)]:
        for kind in [b"Float", b"Half", b"Double", b"BFloat16", b"Long"]:
            yield b"\x80\x02" + dictionary((b"w", tensor(shape, strides, offset, kind))) + b"."
    yield b"(" * 4000 + b"t" * 4000 + b"."
    yield (b"}" + text(b"a")) * 600 + b"N" + b"s" * 600 + b"."
    yield b"}q\x01" + text(b"me") + b"h\x01s."
    yield b"]q\x01h\x01a."
    for start, end in [(b"](", b"e"), (b"}(", b"u")]:
        levels = b"".join(
            start + b"".join((text(b"%d" % i) if end == b"u" else b"") + b"h" + bytes([n]) for i in range(10)) + end + b"q" + bytes([n + 1])
            for n in range(40))
        yield b"Nq\x00" + levels + b"."
    yield b"](" + b"K\x01K\x02\x86" * 500 + b"eq\x01" + b"ccollections\nOrderedDict\nh\x01\x85R0" * 500 + b"."
    many = [(b"w%d" % i, tensor([2, 2], [2, 1])) for i in range(40)]
    yield dictionary(*many) + b"."


PICKLE_WORDS = [
    b"(", b"t", b"l", b"d", b"]", b"}", b")", b"e", b"u", b"s", b"a", b"0", b"N", b"\x88", b"\x89", b"\x85", b"\x86", b"\x87",
    b"q\x01", b"h\x01", b"q\x02", b"h\x02", b"\x94", b"Q", b"R", b"b", b".", b"K\x02", long1(2**63 - 1), long1(2**62), long1(2**32),
    text(b"w"), text(b"0"), b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n", storage(b"Float", b"0"), tensor([2], [1]), tensor([2**62], [4]), tensor([1, 2], [2**63 - 1, 1], 1),
]

ENTRY = b'"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}'


def headers():
    for shape, offsets in [(b"[2]", b"[0,8]"), (b"[9223372036854775807]", b"[0,8]"), (b"[4294967296,4294967296]", b"[0,8]"), (b"[0,9223372036854775807]", b"[0,0]"), (b"[-1]", b"[8,0]"), (b"[2]", b"[0,9223372036854775807]")]:
        for kind in [b"F32", b"F64", b"BF16", b"F8_E4M3"]:
            yield b"{" + ENTRY % (b"a", kind, shape, offsets) + b',"__metadata__":{"epsilon":"nan"}}'
    yield b"{" + ENTRY % (b"a", b"F32", b"[2]", b"[0,8]") + b"," + ENTRY % (b"b", b"F32", b"[1]", b"[4,8]") + b"}"
    yield b"[" * 2000
    yield b'{"a":' * 1000
    yield b"{" + b",".join(ENTRY % (b"t%d" % i, b"F32", b"[0]", b"[0,0]") for i in range(150)) + b"}"


HEADER_WORDS = [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"F32"', b'"BF16"', b'"shape"', b'"dtype"', b'"data_offsets"', b'"__metadata__"', b"9223372036854775807", b"4294967296", b"-1", b"1e999", b"null", b"0", ENTRY % (b"b", b"F32", b"[1]", b"[0,4]")]


def recipes():
    for name in sorted(os.listdir(os.path.join(TOP, "recipes"))):
        with open(os.path.join(TOP, "recipes", name), "rb") as file:
            yield file.read()
    for field in [b"size", b"batch", b"passes", b"faces", b"epsilon", b"seed", b"poisonSteps", b"compressionQuality"]:
        for value in [b"9223372036854775807", b"-1", b"1e999", b"null", b"1.5", b'"x"', b"[[[[]]]]"]:
            yield b'{"' + field + b'":' + value + b"}"
    yield b"[" * 4000


RECIPE_WORDS = [b'"size":', b'"batch":', b'"passes":', b'"epsilon":', b'"method":', b'"weights":', b'"joint"', b'"tsdf"', b"9223372036854775807", b"1e999", b"-1", b"{", b"}", b"[", b"]", b","]


def lists():
    yield b"2\nA B\nx.jpg 1 -1\ny.jpg -1 1\n"
    yield b"\xef\xbb\xbf2\r\nA B\r\n\r\nx.jpg 1 0\r\ny 1 1"
    yield b"1\nA A\n../x 1 1\n/etc/passwd 1 1\n"
    yield b"1\n" + b" ".join(b"a%d" % i for i in range(500)) + b"\nx" + b" -1" * 500 + b"\n"
    yield b"9223372036854775808\nA\n\xff\xfe 1\n"


LIST_WORDS = [b"\r\n", b"\n", b" ", b" 1", b" -1", b"../", b"\xff", b"\xef\xbb\xbf", b"A B", b"99999999999999999999"]

CASCADE = b"""<?xml version="1.0"?><opencv_storage><cascade type_id="opencv-cascade-classifier"><stageType>BOOST</stageType>
<featureType>HAAR</featureType><height>%s</height><width>8</width><stages><_><stageThreshold>%s</stageThreshold><weakClassifiers><_>
<internalNodes>%s</internalNodes><leafValues>-1. 1. 2.</leafValues></_></weakClassifiers></_></stages><features><_><rects>
<_>0 0 8 8 -1.</_><_>%s</_></rects></_></features></cascade></opencv_storage>"""


def cascades():
    for height, threshold in [(b"8", b"0."), (b"4", b"-3"), (b"256", b"1e-30"), (b"9223372036854775807", b"nan"), (b"-1", b"1e999")]:
        for nodes in [b"0 -1 0 0.5", b"1 -2 0 0.5 0 -1 0 -0.5", b"1 1 0 0. 1 0 0 0.", b"0 -9223372036854775808 0 0"]:
            for rectangle in [b"0 0 4 8 2.", b"-1 0 4 8 2.", b"0 0 4 9223372036854775807 2.", b"7 7 1 1 1e30"]:
                yield CASCADE % (height, threshold, nodes, rectangle)
    yield b"<a>" * 4000
    yield b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>'


CASCADE_WORDS = [b"<_>", b"</_>", b"<rects>", b"<stages>", b"<internalNodes>", b"<tilted>1</tilted>", b"<!DOCTYPE", b"<!ENTITY", b"&b;", b"<![CDATA[", b"]]>", b"<!--", b"-1", b"1e30", b"9223372036854775807", b" "]

GENERATED = {
    "pickle": (pickles, PICKLE_WORDS), "header": (headers, HEADER_WORDS), "recipe": (recipes, RECIPE_WORDS),
    "list": (lists, LIST_WORDS), "cascade": (cascades, CASCADE_WORDS),
}
COPIED = {
    "checkpoint": [os.path.join(GOLDENS, "checkpoints", n) for n in ("zip.pth", "legacy.pth", "code.pth")],
}


def main():
    reader, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    words = []
    if reader in COPIED:
        for path in COPIED[reader]:
            shutil.copy(path, folder)
    elif reader == "safetensors":
        header = b"{" + ENTRY % (b"a", b"F32", b"[2]", b"[0,8]") + b"}"
        with open(os.path.join(folder, "small"), "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header + b"12345678")
        words = HEADER_WORDS
    else:
        make, words = GENERATED[reader]
        for number, data in enumerate(make()):
            with open(os.path.join(folder, f"seed-{number:03}"), "wb") as file:
                file.write(data)
    with open(folder + ".dict", "w") as file:
        for word in words:
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')


if __name__ == "__main__":
    main()
