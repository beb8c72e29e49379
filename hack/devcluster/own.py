"""
The image of modelcascade itself, in three layers, so that an edit of the code rebuilds a small one.

    base          Debian stable's Python 3.11, by the list of packages
    dependencies  requirements.lock, by its hash
    app           operator/modelcascade, always
"""

import hashlib
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from devcluster.console import ScriptError, Stopwatch, run, say
from devcluster.debian import DebianBase, base_layer, run_inside
from devcluster.layout import Layout
from devcluster.models import pip_command
from devcluster.oci import Blob, Image, tree_layer

__all__ = ["own_image"]

_PYTHON = "3.11"
_SITE = f"usr/local/lib/python{_PYTHON}/dist-packages"
"""On the path of Debian's Python without any setting."""
_RECIPE = 1
"""Raised when the way of making the dependency layer changes."""
_PLATFORMS = ("manylinux_2_36_x86_64", "manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64")
_COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
"""The image's files never change, and its user could not write byte code: compile once, here."""


def _prepare(tree: Path) -> None:
    python = f"/usr/bin/python{_PYTHON}"
    run_inside(tree, python, *_COMPILE, f"/usr/lib/python{_PYTHON}", user="0:0")
    run_inside(tree, python, "-c", "import asyncio, ctypes, json, sqlite3, ssl, zoneinfo")


def _certificates(tree: Path) -> dict[str, bytes]:
    """The bundle that the package's own set-up script would have made."""
    certificates = sorted((tree / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    if not certificates:
        raise ScriptError("Debian's ca-certificates holds no certificates where they were expected.")
    return {"etc/ssl/certs/ca-certificates.crt": b"".join(file.read_bytes() for file in certificates)}


_BASE = DebianBase(
    name="python",
    suite="bookworm",
    packages=("python3", "ca-certificates", "tzdata"),
    prepare=_prepare,
    added=_certificates,
    skip=("usr/share/perl5", "usr/share/python3/debpython", f"usr/lib/python{_PYTHON}/lib2to3"),
)


def own_image(layout: Layout) -> Image:
    """Run as uid 65532; the subcommand comes as argument."""
    return Image(
        layers=(base_layer(layout, _BASE), _dependency_layer(layout), _app_layer(layout)),
        settings={
            "User": "65532:65532",
            "Entrypoint": ["/usr/local/bin/modelcascade"],
            "Env": [
                "PATH=/usr/local/bin:/usr/bin",
                "HOME=/tmp",
                "LANG=C.UTF-8",
                "PYTHONUNBUFFERED=1",
                "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            ],
        },
    )


def _dependency_layer(layout: Layout) -> Blob:
    lock = layout.repository / "requirements.lock"
    key = hashlib.sha256(f"{_RECIPE}".encode() + lock.read_bytes()).hexdigest()[:16]
    target = layout.layers / f"dependencies-{key}.tar"
    if target.exists():
        return Blob.of(target)
    say("images: installing the locked dependencies …")
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="modelcascade-deps-") as folder:
        platforms = [f"--platform={platform}" for platform in _PLATFORMS]
        target_options = [f"--target={folder}", f"--python-version={_PYTHON}", "--implementation=cp", *platforms]
        run(
            [
                *pip_command(layout),
                "install",
                "--quiet",
                "--no-compile",
                "--no-deps",
                "--require-hashes",
                "--only-binary=:all:",
                *target_options,
                f"--requirement={lock}",
            ],
            advice="Each locked dependency needs a wheel for CPython 3.11 on Linux.",
        )
        shutil.rmtree(Path(folder) / "bin", ignore_errors=True)
        _compile(Path(folder))
        layer = tree_layer(Path(folder), target, prefix=_SITE)
    say(f"images: dependencies installed in {watch.seconds:.0f} s, {layer.size / 1e6:.0f} MB")
    return layer


def _compile(folder: Path) -> None:
    """
    Byte code with the paths that the files will have in the image.

    Only a Python of the same minor version can do it; without one the image works and starts more slowly.
    """
    same = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which(f"python{_PYTHON}")
    if same is None:
        say(f"images: no Python {_PYTHON} here: the image is left without byte code and starts more slowly")
        return
    run([same, *_COMPILE, "-j2", "-s", folder, "-p", f"/{_SITE}", folder])


def _app_layer(layout: Layout) -> Blob:
    project = tomllib.loads((layout.repository / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    with tempfile.TemporaryDirectory(prefix="modelcascade-app-") as folder:
        site = Path(folder)
        source = layout.repository / "operator" / "modelcascade"
        shutil.copytree(source, site / "modelcascade", ignore=shutil.ignore_patterns("__pycache__"))
        _compile(site)
        facts = site / f"{name}-{version}.dist-info"
        facts.mkdir()
        facts.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        scripts = project["scripts"]
        entries = "".join(f"{command} = {target}\n" for command, target in scripts.items())
        facts.joinpath("entry_points.txt").write_text(f"[console_scripts]\n{entries}")
        return tree_layer(
            site,
            layout.layers / "app.tar",
            prefix=_SITE,
            extra={f"usr/local/bin/{command}": _script(target) for command, target in scripts.items()},
        )


def _script(entry_point: str) -> bytes:
    module, function = entry_point.split(":")
    return f"#!/usr/bin/python3\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n".encode()
