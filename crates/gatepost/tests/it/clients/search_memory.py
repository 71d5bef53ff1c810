"""Says which byte strings are somewhere in a process's writable memory.

Reads {"pid": .., "needles": {NAME: HEX}} from standard input, prints a JSON list of the names that were found. Needs root.
"""

import json
import sys

asked = json.load(sys.stdin)
needles = {name: bytes.fromhex(text) for name, text in asked["needles"].items()}
overlap = max(map(len, needles.values())) - 1
found = set()
PIECE = 8 << 20
with open(f"/proc/{asked['pid']}/maps") as maps, open(f"/proc/{asked['pid']}/mem", "rb", buffering=0) as memory:
    for line in maps:
        span, rights = line.split()[:2]
        # What can't be written holds nothing but what the binary was built with.
        if not rights.startswith("rw"):
            continue
        start, end = (int(at, 16) for at in span.split("-"))
        for at in range(start, end, PIECE):
            try:
                memory.seek(at)
                piece = memory.read(min(PIECE + overlap, end - at))
            except (OSError, ValueError):
                # Gone meanwhile, or the kernel's own.
                continue
            found.update(name for name, needle in needles.items() if needle in piece)
print(json.dumps(sorted(found)))
