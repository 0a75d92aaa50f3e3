"""How much one read may bring: every page of a value stays within these, whatever the key holds."""

PAGE = 40
"""Elements of a page, unless asked otherwise."""
MAX_PAGE = 200
SHOWN = 4 * 1024
"""Bytes of an element that a page shows; the rest is told as a length and read by `KeyType.read_element`."""
LOADED = 64 * 1024
"""Bytes of an element that are fetched for a page when its length is known beforehand; a larger one stays on the server."""
PAGE_BYTES = 4 * 1024 * 1024
"""Bytes that one page fetches in all (one element more, where lengths cannot be known beforehand)."""
WHOLE = 4 * 1024 * 1024
"""Bytes of one element read on its own, to be decoded or copied."""
SCAN_SECONDS = 0.1
"""How long one step of a search inside a key goes on before it says how far it got."""
SCAN_COUNT = 1000
"""COUNT of a search that finds little; more hurts other clients' latency."""
FIRST_STEP = 8

COMPACT = {b"listpack", b"listpackex", b"ziplist", b"intset", b"zipmap", b"int", b"embstr"}
"""Encodings that the server itself keeps small: whatever they hold may be read in one step."""


class Budget:
    """How many more elements to ask for, so that a page of `count` stays within PAGE_BYTES.

    Lists, sets and sorted sets do not tell how long an element is before it is read. So the steps start small, grow eightfold,
    and shrink to what the largest element seen, and the average that MEMORY USAGE suggests, leave room for: three round trips for
    a page of ordinary elements, one element at a time where each has megabytes.
    """

    def __init__(self, count: int, *, average: float | None = None, compact: bool = False) -> None:
        self.count, self.compact = count, compact
        self.taken = self.bytes = 0
        self.largest = average or 0.0

    def step(self) -> int:
        """Elements to ask for next; 0 when the page has enough."""
        left = self.count - self.taken
        if left <= 0 or self.bytes >= PAGE_BYTES:
            return 0
        if self.compact:
            return left
        room = int((PAGE_BYTES - self.bytes) / max(self.largest, 1.0))
        if not self.taken:
            room = max(room, 1)
        return min(left, room, max(FIRST_STEP, self.taken * 8))

    def took(self, sizes: list[int]) -> None:
        """Note the elements that a step brought, by their lengths in bytes."""
        self.taken += len(sizes)
        self.bytes += sum(sizes)
        self.largest = max(self.largest, *sizes) if sizes else self.largest
