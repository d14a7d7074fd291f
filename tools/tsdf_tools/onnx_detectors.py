"""Detectors that a user brings as ONNX, under the names that Sources/Networks has."""

from .formats.onnx_graph import GraphError


def yunet(graph):
    """Each head, with what it reads before it, is one way from an output to the input."""
    tensors, is_small = {}, len(list(graph.convolutions("cls_32"))) == 27

    def unit(way, name):
        for part in ("conv2", "conv1"):
            tensors.update(graph.convolution(next(way, None), f"{name}.{part}"))

    for level, stride in enumerate((8, 16, 32)):
        for head in ("bbox", "obj", "kps", "cls"):
            way = graph.convolutions(f"{head}_{stride}")
            unit(way, f"bbox_head.multi_level_{head}.{level}")
        # The last head's way goes on.
        if not is_small:
            unit(way, f"bbox_head.multi_level_share_convs.{level}.0")
        unit(way, f"neck.lateral_convs.{level}")
    for stage in (5, 4, 3, 2, 1):
        unit(way, f"backbone.model{stage}.conv2")
        unit(way, f"backbone.model{stage}.conv1")
    unit(way, "backbone.model0.conv2")
    tensors.update(graph.convolution(next(way, None), "backbone.model0.conv1"))
    if next(way, None):
        raise GraphError("the backbone has more convolutions than YuNet's")
    return tensors


# Channels of Ultra-Light's heads on the four levels.
CLASSIFICATION, REGRESSION = [6, 4, 4, 6], [12, 8, 8, 12]


def ultralight(graph, is_rfb):
    """The heads of four levels come together twice, as scores and as boxes; the last level's way is the backbone."""
    tensors, ways = {}, {}

    def take(way, *names):
        for name in names:
            tensors.update(graph.convolution(next(way, None), name))

    for node in graph.nodes("Concat"):
        channels = [graph.channels(next(graph.convolutions(name), None)) for name in node.inputs]
        if channels in (CLASSIFICATION, REGRESSION):
            ways["classification" if channels == CLASSIFICATION else "regression"] = node.inputs
    if len(ways) < 2:
        raise GraphError("has no heads of Ultra-Light's")
    for kind, outputs in ways.items():
        for level, name in enumerate(outputs):
            way, head = graph.convolutions(name), f"{kind}_headers.{level}"
            take(way, *([head] if level == 3 else [f"{head}.2", f"{head}.0"]))
    take(way, "extras.0.2.2", "extras.0.2.0", "extras.0.0")
    for block in range(12, 0, -1):
        name = f"base_net.{block}"
        if block != 7 or not is_rfb:
            take(way, f"{name}.3", f"{name}.0")
            continue
        node = next(way, None)
        tensors.update(graph.convolution(node, f"{name}.ConvLinear.conv"))
        take(graph.convolutions(graph.other_summand(node)), f"{name}.shortcut.conv")
        branches = graph.maker(node.inputs[0], "Concat").inputs
        for branch, count in list(enumerate((3, 3, 4)))[1:]:
            layers = [f"{name}.branch{branch}.{layer}.conv" for layer in reversed(range(count))]
            take(graph.convolutions(branches[branch] if branch < len(branches) else ""), *layers)
        # The first branch is the way on.
        take(way, *(f"{name}.branch0.{layer}.conv" for layer in (2, 1, 0)))
    take(way, "base_net.0.0")
    if next(way, None):
        raise GraphError("the backbone has more convolutions than Ultra-Light's")
    return tensors
