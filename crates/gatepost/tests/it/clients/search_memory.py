"""Says which byte strings are somewhere in a process's writable memory.

Reads {"pid": .., "needles": {NAME: HEX}} from standard input, prints a JSON list of the names that were found. Needs root.
"""

import json
import sys
from array import array

asked = json.load(sys.stdin)
needles = {name: bytes.fromhex(text) for name, text in asked["needles"].items()}
overlap = max(map(len, needles.values())) - 1
found = set()
PIECE = 8 << 20
PAGE = 4096
proc = f"/proc/{asked['pid']}"


def runs(pagemap, start, end):
    """Yields where pages are in memory or in swap: threads have large stacks of which they touch little."""
    pagemap.seek(start // PAGE * 8)
    pages = array("Q")
    pages.frombytes(pagemap.read((end - start) // PAGE * 8))
    begin = None
    for number, page in enumerate(pages):
        there = page >> 62
        if there and begin is None:
            begin = number
        elif not there and begin is not None:
            yield start + begin * PAGE, start + number * PAGE
            begin = None
    if begin is not None:
        yield start + begin * PAGE, start + len(pages) * PAGE


def pieces():
    with open(f"{proc}/maps") as maps, open(f"{proc}/mem", "rb", 0) as memory, open(f"{proc}/pagemap", "rb", 0) as pagemap:
        for line in maps:
            span, rights = line.split()[:2]
            # What can't be written holds nothing but what the binary was built with.
            if not rights.startswith("rw"):
                continue
            for start, end in runs(pagemap, *(int(at, 16) for at in span.split("-"))):
                for at in range(start, end, PIECE):
                    try:
                        memory.seek(at)
                        yield memory.read(min(PIECE + overlap, end - at))
                    except (OSError, ValueError):
                        # Gone meanwhile, or the kernel's own.
                        continue


for piece in pieces():
    found.update(name for name, needle in needles.items() if needle in piece)
print(json.dumps(sorted(found)))
