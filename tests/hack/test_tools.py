"""Which cached program may be used again."""

from dataclasses import replace
from pathlib import Path

import pytest

from devcluster.console import ScriptError
from devcluster.layout import Layout
from devcluster.tools import KUBERNETES_VERSION, PROGRAMS, Program, check_go_version, missing_tools, tool_key, tool_path

PROGRAM = Program("tool", "module", "example.com/tool")
FILES = {"go.mod": "module tool\n", "go.sum": "sum\n", "main.go": "package main\n"}


def write_module(folder: Path, changes: dict[str, str]) -> Path:
    """A module folder with these files changed or added."""
    folder.mkdir()
    for name, text in {**FILES, **changes}.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("changes", "program", "same"),
    [
        pytest.param({}, PROGRAM, True, id="nothing changed"),
        pytest.param({"README": "words"}, PROGRAM, True, id="a file that is not built"),
        pytest.param({"go.sum": "other\n"}, PROGRAM, False, id="a dependency"),
        pytest.param({"main.go": "package main // new\n"}, PROGRAM, False, id="our own source"),
        pytest.param({}, replace(PROGRAM, ldflags="-s"), False, id="the linker's flags"),
        pytest.param({}, replace(PROGRAM, tags="seccomp"), False, id="build tags"),
        pytest.param({}, replace(PROGRAM, cgo=True), False, id="cgo"),
    ],
)
def test_a_program_is_built_again_when_its_source_or_way_of_building_changed(
    tmp_path: Path,
    changes: dict[str, str],
    program: Program,
    same: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The cache's key covers all that decides what the program is, and nothing else."""
    before = tool_key(PROGRAM, write_module(tmp_path / "before", {}))
    after = tool_key(program, write_module(tmp_path / "after", changes))
    assert same == (before == after)


def test_an_interrupted_build_is_no_program(tmp_path: Path) -> None:
    """A file under a temporary name does not count as built: all programs are still missing."""
    layout = replace(Layout.from_environment(), cache=tmp_path)
    folder = tool_path(layout, "kubelet").parent
    folder.mkdir(parents=True)
    (folder / ".kubelet.4711").write_bytes(b"half")
    assert len(PROGRAMS) == len(missing_tools(layout))


def test_kubernetes_programs_know_their_version() -> None:
    """Without the linker's flags the server would call itself v0.0.0; the version is the module's."""
    flags = next(program for program in PROGRAMS if program.name == "kube-apiserver").ldflags
    assert f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}" in flags
    module = Layout.from_environment().tool_modules / "kubernetes" / "go.mod"
    assert ["k8s.io/kubernetes", KUBERNETES_VERSION] in [line.split()[:2] for line in module.read_text().splitlines()]


def test_staging_modules_match_the_release() -> None:
    """All 33 staging modules are replaced by the release of the same number: v1.36.3 goes with v0.36.3."""
    module = Layout.from_environment().tool_modules / "kubernetes" / "go.mod"
    replaced = [line.split() for line in module.read_text().splitlines() if "=>" in line]
    assert 33 == len(replaced)
    assert {KUBERNETES_VERSION.replace("v1.", "v0.")} == {words[-1] for words in replaced}
    assert all(words[0] == words[2] for words in replaced)


@pytest.mark.parametrize("version", ["go1.26.8", "go1.27rc1", "go2.0", "devel go1.27-abc"])
def test_a_new_enough_go_is_taken(version: str) -> None:
    """Release candidates and development versions too."""
    check_go_version(version, advice="Install it.")


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "go1.25rc2"])
def test_an_old_go_is_refused_with_advice(version: str) -> None:
    """The message says what is there and what to do."""
    with pytest.raises(ScriptError, match=rf"{version} is too old. Install it."):
        check_go_version(version, advice="Install it.")
