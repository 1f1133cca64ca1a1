"""A file system that ignores modes, as a Windows drive under WSL does: every folder shows 0777.

    modeless_disk.py <mount point>

Speaks the kernel's FUSE protocol (include/uapi/linux/fuse.h, 7.31), just enough of it for folders and
empty files in memory. Needs root. Prints a line when mounted; ends when unmounted.
"""

import ctypes
import errno
import os
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, SETATTR, MKDIR = 1, 2, 3, 4, 9
UNLINK, RMDIR, STATFS, RELEASE, FLUSH, INIT, CREATE, BATCH_FORGET = 10, 11, 17, 18, 25, 26, 35, 42
HEADER = struct.Struct("<IIQQIIII")

nodes = {1: stat.S_IFDIR}
names: dict[tuple[int, bytes], int] = {}


def attributes(node: int) -> bytes:
    return struct.pack(
        "<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, nodes[node] | 0o777, 2, 0, 0, 0, 4096, 0
    )


def entry(node: int) -> bytes:
    return struct.pack("<4Q2I", node, 0, 0, 0, 0, 0) + attributes(node)


def make(parent: int, name: bytes, kind: int) -> bytes:
    node = len(nodes) + 1
    nodes[node] = kind
    names[parent, name] = node
    return entry(node)


def answer(opcode: int, node: int, body: bytes) -> bytes | int:
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 10, 4096, 1, 1, 0, *([0] * 8))
    if opcode in (GETATTR, SETATTR):
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if opcode == LOOKUP:
        found = names.get((node, body[:-1]))
        return entry(found) if found else errno.ENOENT
    if opcode == MKDIR:
        return make(node, body[8:-1], stat.S_IFDIR)
    if opcode == CREATE:
        return make(node, body[16:-1], stat.S_IFREG) + struct.pack("<Q2I", 0, 0, 0)
    if opcode in (UNLINK, RMDIR):
        return b"" if names.pop((node, body[:-1]), None) else errno.ENOENT
    if opcode == STATFS:
        return bytes(80)
    return b"" if opcode in (RELEASE, FLUSH) else errno.ENOSYS


def main() -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40777,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"modeless", sys.argv[1].encode(), b"fuse", 0, options) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError as error:  # ENODEV: unmounted
            sys.exit(0 if error.errno == errno.ENODEV else str(error))
        _, opcode, unique, node, *_ = HEADER.unpack_from(request)
        if opcode in (FORGET, BATCH_FORGET):
            continue
        reply = answer(opcode, node, request[HEADER.size :])
        failed, data = (-reply, b"") if isinstance(reply, int) else (0, reply)
        os.write(device, struct.pack("<IiQ", 16 + len(data), failed, unique) + data)


if __name__ == "__main__":
    main()
