"""What a restore tells of its writes, so that there is a way back."""

from collections.abc import Callable

from keyspace.backups.dumps import Dump

Keep = Callable[[list[Dump]], "set[bytes] | None"]
Wrote = tuple[bytes, bytes | None, bool]
"""The name, what DUMP says of it now (None: not asked), and whether it replaced something."""


class WayBack:
    """What is told of every write, so that it can be undone. This one forgets everything."""

    forgets = True
    notes_new = False
    """Whether `wrote` wants the DUMP of keys that are new."""

    def fits(self, old: Dump) -> bool:
        """Whether there is room to keep it; takes the room."""
        return True

    def expect(self, coming: list[Dump]) -> None:
        """Before `keep`: what will be written, which is mostly what DUMP says afterwards."""

    def keep(self, lost: list[Dump]) -> set[bytes]:
        """Before these are overwritten: the names for which there is no room."""
        return set()

    def forget(self, lost: list[Dump]) -> None:
        """They were not overwritten after all."""

    def wrote(self, written: list[Wrote]) -> None:
        """These were written."""


class Kept(WayBack):
    """Only `keep`, as a function."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    def keep(self, lost: list[Dump]) -> set[bytes]:
        return self._keep(lost) or set()
