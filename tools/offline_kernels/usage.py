"""What a kernel takes of a device, as its compiler reports it."""
from dataclasses import dataclass


@dataclass
class Usage:
    """One kernel on one device."""

    kernel: str
    registers: int
    #: Bytes a work-item keeps in memory because registers were too few.
    spilled: int
    #: Bytes a work-item keeps in memory for its arrays, those spilled included where the compiler tells no difference.
    scratch: int
    #: Bytes of local memory a work-group takes, without what the host hands to kernels that reduce (8 a work-item).
    local: int
    #: Work-items at once on a compute unit, of the most that it holds.
    occupancy: float
    #: Work-items of a thread, where the compiler chooses that and not the registers.
    width: int | None = None

    def worst(self, other: "Usage") -> "Usage":
        """Of two kernels, or of one in two sizes of work-group, the most of everything and the least occupancy."""
        return Usage(
            self.kernel, max(self.registers, other.registers), max(self.spilled, other.spilled),
            max(self.scratch, other.scratch), max(self.local, other.local), min(self.occupancy, other.occupancy),
            self.width and min(self.width, other.width))


@dataclass
class Program:
    """A program of the product: its name, its OpenCL C, the options it is built with, and its work-groups' size."""

    name: str
    text: str
    options: list[str]
    group: int


@dataclass
class Failure(Exception):
    """A compiler that did not compile."""

    device: str
    program: str
    log: str
