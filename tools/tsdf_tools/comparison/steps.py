"""The steps that are compared, and the networks in them; free of PyTorch, for the process that starts both sides."""

STEPS = {
    # name: (our step, image size, batch, width)
    "stargan-256-gradient-b1": ("gradient", (256, 256), 1, 64),
    "stargan-256-gradient-b4": ("gradient", (256, 256), 4, 64),
    "stargan-128-train": ("train", (128, 128), 16, 16),
    "attentiongan-128-train": ("train", (128, 128), 16, 16),
    "attgan-128-train": ("train", (128, 128), 16, 32),
    "hisd-128-train": ("train", (128, 128), 8, 32),
    "craft-step": ("craft", (256, 256), 1, 64),
    "craft-all": ("craft", (256, 256), 1, 64),
    "detect-1080p": ("retinaface", (1080, 1920), 1, 0),
    "mtcnn-1080p": ("mtcnn", (1080, 1920), 1, 0),
}
# What crafting steps work against: networks of official sizes, with random weights where tools/fetch-models has none.
CRAFT = {
    "craft-step": (["stargan"], ["retinaface", "mtcnn"]),
    "craft-all": (["stargan", "attentiongan", "attgan", "hisd"], ["retinaface", "retinaface-resnet50", "s3fd", "dsfd", "mtcnn"]),
}
FETCHED = ("retinaface", "mtcnn")
# What is trained of HiSD: two tags of two answers, each beside four other attributes.
HISD = dict(encoder=[32, 64, 128], translator=[32] * 5, extractor=[16, 32, 64, 128, 256, 256], mapper=[128] * 3, style=128, noise=32, answers=[2, 2])


def networks(name):
    """The networks whose weights are drawn for a step."""
    kind, model = STEPS[name][0], name.split("-")[0]
    if kind == "train":
        return [model, model + "-critic"]
    generators, detectors = CRAFT.get(name, (["stargan"] if kind == "gradient" else [], []))
    return [n for n in generators + detectors if n not in FETCHED]
