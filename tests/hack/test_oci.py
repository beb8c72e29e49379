"""Images written without a builder: complete, readable, and the same each time."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from devcluster.oci import Blob, Image, archive_chunks, file_layer, tree_layer

NAME = "localhost/modelcascade/sample:dev"


def read_archive(image: Image, present: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """The members of the archive by path."""
    stream = io.BytesIO(b"".join(archive_chunks(image, NAME, present=present)))
    with tarfile.open(fileobj=stream) as archive:
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}


def make_tree(folder: Path, seconds: int) -> Path:
    """A small tree with each kind of entry, and times that must not matter."""
    tree = folder / "tree"
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "tool").write_text("#!/bin/sh\n")
    (tree / "usr" / "bin" / "tool").chmod(0o755)
    os.link(tree / "usr" / "bin" / "tool", tree / "usr" / "bin" / "twin")
    (tree / "bin").symlink_to("usr/bin")
    (tree / "left-out").mkdir()
    (tree / "left-out" / "file").write_text("no")
    for path in (tree / "usr" / "bin" / "tool", tree / "usr"):
        os.utime(path, (seconds, seconds))
    return tree


def test_an_archive_holds_what_its_digests_promise(tmp_path: Path) -> None:
    """A reader finds from the index the manifest, from there config and layer, and each digest is that of its bytes."""
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF" + bytes(5000))
    image = Image((file_layer({"model.gguf": model}),), {"User": "65532:65532"})

    members = read_archive(image)

    index = json.loads(members["index.json"])
    assert [image.manifest.digest] == [entry["digest"] for entry in index["manifests"]]
    assert NAME == index["manifests"][0]["annotations"]["io.containerd.image.name"]
    manifest = json.loads(members[f"blobs/{image.manifest.digest.replace(':', '/')}"])
    config = json.loads(members[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert {"User": "65532:65532"} == config["config"]
    assert [entry["digest"] for entry in manifest["layers"]] == config["rootfs"]["diff_ids"]
    for path, content in members.items():
        if path.startswith("blobs/sha256/"):
            assert path.removeprefix("blobs/sha256/") == hashlib.sha256(content).hexdigest()


def test_a_layer_of_files_unpacks_to_those_files(tmp_path: Path) -> None:
    """The layer is an ordinary tar file; everyone may read, nobody may write."""
    model = tmp_path / "model.gguf"
    model.write_bytes(b"weights")
    layer = b"".join(file_layer({"model.gguf": model, "LICENSE": b"text"}).chunks())
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        found = {member.name: (member.size, oct(member.mode), member.mtime) for member in archive}
    assert {"model.gguf": (7, "0o444", 0), "LICENSE": (4, "0o444", 0)} == found


def test_the_same_tree_gives_the_same_layer(tmp_path: Path) -> None:
    """Times, owners and the order of a folder's entries do not change a digest, so references stay valid."""
    first = tree_layer(make_tree(tmp_path / "a", 1), tmp_path / "a.tar", skip=["left-out"])
    second = tree_layer(make_tree(tmp_path / "b", 1_000_000_000), tmp_path / "b.tar", skip=["left-out"])
    assert first.digest == second.digest


def test_a_tree_keeps_links_modes_and_what_is_added(tmp_path: Path) -> None:
    """Symbolic and hard links stay links, programs stay runnable, skipped folders are absent."""
    tree_layer(
        make_tree(tmp_path, 1),
        tmp_path / "layer.tar",
        prefix="opt/app",
        skip=["opt/app/left-out"],
        extra={"usr/bin/start": b"#!", "etc/passwd": b"root"},
    )
    with tarfile.open(tmp_path / "layer.tar") as archive:
        found = {member.name: (member.type, oct(member.mode), member.linkname) for member in archive}
    assert {
        "opt": (tarfile.DIRTYPE, "0o755", ""),
        "opt/app": (tarfile.DIRTYPE, "0o755", ""),
        "opt/app/bin": (tarfile.SYMTYPE, "0o777", "usr/bin"),
        "opt/app/usr": (tarfile.DIRTYPE, "0o755", ""),
        "opt/app/usr/bin": (tarfile.DIRTYPE, "0o755", ""),
        "opt/app/usr/bin/tool": (tarfile.REGTYPE, "0o755", ""),
        "opt/app/usr/bin/twin": (tarfile.LNKTYPE, "0o755", "opt/app/usr/bin/tool"),
        "usr/bin/start": (tarfile.REGTYPE, "0o755", ""),
        "etc/passwd": (tarfile.REGTYPE, "0o644", ""),
    } == found


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param(Image((Blob.of(b"x"),), {"User": "1"}), False, id="another setting"),
        pytest.param(Image((Blob.of(b"y"),), {}), False, id="another layer"),
        pytest.param(Image((Blob.of(b"", b"x"),), {}), True, id="the same bytes in other pieces"),
    ],
)
def test_a_digest_is_that_of_the_content(changed: Image, same: bool) -> None:  # noqa: FBT001 - a column of the table
    """An image's digest changes with its content and with nothing else."""
    assert same == (Image((Blob.of(b"x"),), {}).manifest.digest == changed.manifest.digest)


def test_what_the_node_has_is_left_out() -> None:
    """A code edit sends one small layer: known blobs are missing from the archive, new ones are not."""
    known, new = Blob.of(b"base"), Blob.of(b"app")
    members = read_archive(Image((known, new)), present=frozenset({known.digest}))
    assert f"blobs/{known.digest.replace(':', '/')}" not in members
    assert b"app" == members[f"blobs/{new.digest.replace(':', '/')}"]
