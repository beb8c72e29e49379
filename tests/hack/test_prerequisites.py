"""What the machine must have, said before the long work begins."""

from pathlib import Path

import pytest

from devcluster.console import ScriptError
from devcluster.prerequisites import check_machine, free_disk


def test_a_full_disk_is_named_with_a_way_out(tmp_path: Path) -> None:
    """Folder, room, need, and the variable that moves the cache."""
    with pytest.raises(ScriptError, match=r"GB free, 1000000000 GB are needed.*MODELCASCADE_CACHE"):
        free_disk(tmp_path / "cache", gigabytes=1e9)
    free_disk(tmp_path / "cache", gigabytes=0)


def test_without_root_the_other_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local node needs root; a cluster that is there does not."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ScriptError, match=r"needs root.*CLUSTER=current"):
        check_machine()
