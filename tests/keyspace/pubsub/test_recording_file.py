"""What stands beside a recording on disk."""

import threading
from pathlib import Path

from keyspace.pubsub.recording_file import Header, read_header, write_header


def test_a_header_that_several_write_at_once_is_whole(tmp_path: Path) -> None:
    """Two pages that find a recording interrupted both say so."""
    refused: list[OSError] = []

    def write(number: int) -> None:
        header = Header("a", "test", "ana", [["channel", "\udcff"]], {}, number)
        try:
            for _ in range(100):
                write_header(tmp_path, header)
        except OSError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [] and read_header(tmp_path / "a.json").began in range(4)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]
