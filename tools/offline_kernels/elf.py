"""Sections of an ELF file of 64 bits, little-endian."""
import struct


def sections(data: bytes) -> dict[str, bytes]:
    """By name; of those of one name the last."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names_at = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    names = headers[names_at][4]

    def name(offset: int) -> str:
        return data[names + offset : data.index(b"\0", names + offset)].decode()

    return {name(h[0]): data[h[4] : h[4] + h[5]] for h in headers}
