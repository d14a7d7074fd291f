"""dlib's compressed streams, as its class compress_stream (kernel_1ea) writes them: bytes predicted by partial matching (PPM;
Moffat, 1990; escapes by method D, counts inherited from shorter contexts after Shkarin, 2001), coded by ranges.

Needs Python 3.8, no more.
"""

import zlib

SYMBOLS = 257  # bytes, and the end
END = 256
DEPTH = 4  # symbols of the longest context
LARGEST_TREE = 200000
LARGEST_TOTAL = 10000
# After so many symbols comes a mark, a number below MARK_RANGE.
MARK_DISTANCE, MARK, MARK_RANGE = 20000, 1500, 8000


class RangeDecoder:
    """Which of the parts of a range comes next. Numbers have 32 bits."""

    def __init__(self, data):
        self.data = iter(data)
        self.low, self.high, self.value = 1, 0xFFFFFFFF, 0
        for _ in range(4):
            self.value = self.value << 8 | next(self.data, 0)

    def target(self, total):
        """A number below `total`, within the part that comes next."""
        self.unit = (self.high - self.low + 1) // total
        return min((self.value - self.low) // self.unit, total - 1)

    def take(self, start, end):
        """Goes on after the part from `start` to `end` of the range that was last asked for."""
        low, high = self.low + self.unit * start, self.low + self.unit * end - 1
        while True:
            if (low ^ high) & 0xFF000000 == 0:
                low, high = low << 8 & 0xFFFFFFFF or 1, (high << 8 | 0xFF) & 0xFFFFFFFF
                self.value = (self.value << 8 | next(self.data, 0)) & 0xFFFFFFFF
            elif high - low >= 0x10000:
                break
            else:
                # Too narrow to go on: the middle of it is kept.
                middle = (high >> 1) + (low >> 1)
                low, high = (middle - 0xFF, middle + 0xFF) if high - low > 0x1000 else (middle, middle)
        self.low, self.high = low, high


class Node:
    """A symbol after a context, and itself a context: with the symbol at its end."""

    __slots__ = ("symbol", "count", "children", "parent", "total", "escapes")

    def __init__(self):
        self.symbol = self.count = self.total = self.escapes = 0
        self.children = []  # what came after it, the latest last
        self.parent = None  # the context without its first symbol

    def halve(self):
        """Halves the counts of what came after it."""
        self.escapes = max(self.escapes >> 1, min(self.escapes, 1))
        self.total = self.escapes
        for child in self.children:
            child.count = max(child.count >> 1, 1)
            self.total += child.count


class Model:
    """Predicts symbols by those before."""

    def __init__(self, coder):
        self.coder = coder
        self.clear()

    def clear(self):
        self.root = self.context = Node()
        self.depth, self.size = 0, 1

    def symbol(self):
        while True:
            found = self.attempt()
            if found is not None:
                return found
            # The tree is full, at the same point as when it was written.
            self.clear()

    def attempt(self):
        """The next symbol; None if the tree is full on the way."""
        context, depth, excluded = self.context, self.depth, set()
        following, fresh = None, []  # the next context and its depth; new nodes with the contexts that they come after
        while self.size < LARGEST_TREE:
            child = None
            if context.total > LARGEST_TOTAL:
                context.halve()
            if context.total > 0:
                child = self.choose(context, excluded)
            if child:
                if fresh:
                    fresh[-1][0].parent = child
                child.count += 8
                context.total += 8
                if following is None:
                    following = (child, depth + 1) if depth < DEPTH else (child.parent, depth)
                symbol, count, total = child.symbol, child.count, context.total
                break
            node = Node()
            self.size += 1
            if fresh:
                fresh[-1][0].parent = node
            fresh.append((node, context))
            if following is None and depth < DEPTH:
                following = node, depth + 1
            if context is not self.root:
                context, depth = context.parent, depth - 1
                continue
            node.parent = self.root
            symbol, count, total = self.coder.target(SYMBOLS), 8, 2056
            self.coder.take(symbol, symbol + 1)
            following = following or (self.root, 0)
            break
        else:
            return None
        self.context, self.depth = following
        for node, context in reversed(fresh):
            self.insert(node, context, symbol, count, total)
        return symbol

    def choose(self, context, excluded):
        """What comes after a context, of what came after it before; None for something else."""
        total = context.total
        if excluded:
            total = context.escapes + sum(c.count for c in context.children if c.symbol not in excluded)
        target, end = self.coder.target(total), 0
        for at in range(len(context.children) - 1, -1, -1):
            child = context.children[at]
            if child.symbol in excluded:
                continue
            end += child.count
            excluded.add(child.symbol)
            if end > target:
                self.coder.take(end - child.count, end)
                context.children.append(context.children.pop(at))
                return child
        self.coder.take(end, total)
        return None

    def insert(self, node, context, symbol, count, total):
        """A new node after a context, the symbol having `count` of `total` after the context in which it was found."""
        node.symbol = symbol
        if context.total:
            others = total - count + context.total - 2 * context.escapes
            node.count = min(context.total * count // (others | 1) + 2, 50000)
            context.escapes += 4
            context.total += node.count + 4
        else:
            node.count = 3 + 5 * count // (total - count)
            context.escapes = 4
            context.total = node.count + 4
        context.children.insert(0, node)
        while context.total > LARGEST_TOTAL:
            context.halve()


def decompressed(data):
    """The bytes of a compressed stream.

    Raises ValueError where marks or checksum are not what they should be.
    """
    coder, result = RangeDecoder(data), bytearray()
    model = Model(coder)
    while True:
        if result and len(result) % MARK_DISTANCE == 0:
            if coder.target(MARK_RANGE) != MARK:
                raise ValueError("the compressed data are damaged")
            coder.take(MARK, MARK + 1)
        symbol = model.symbol()
        if symbol == END:
            break
        result.append(symbol)
    checksum = [model.symbol() for _ in range(4)]
    if int.from_bytes(bytes(checksum), "big") != zlib.crc32(bytes(result)):
        raise ValueError("the checksum of the decompressed data is not the expected one")
    return bytes(result)
