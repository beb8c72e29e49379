"""`modelcascade lint`: verdicts with paths for people, exit codes for pipelines."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelcascade.cli.lint import run_lint
from support.bad_inputs import BAD, BadInput, base_object, shortest_cascade


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write documents to a file and give its name."""

    def _write(*documents: Any, name: str = "cascade.yaml") -> str:
        path = tmp_path / name
        path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    return _write


def test_an_accepted_cascade(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per object, exit code 0."""
    name = write(shortest_cascade(), base_object("CascadeScalingPolicy"))
    assert run_lint([name]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: ModelCascade/assist: accepted",
        f"{name}: CascadeScalingPolicy/default: accepted",
    ]


def test_a_refused_cascade_says_where_and_what(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Path and sentence of each problem, exit code 1."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["name"] = "Small_1"
    name = write(body)
    assert run_lint([name]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: ModelCascade/assist: refused",
        "  spec.tiers[0].name: tier names are lower-case letters, digits and '-', starting with a letter",
    ]


def test_what_is_not_served_yet_is_refused(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A field that would be ignored is said aloud."""
    name = write(base_object("ModelCascade"))
    assert run_lint([name]) == 1
    assert "  spec.guard: a guard is not served by this version yet" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("case", [case for case in BAD if not case.update], ids=str)
def test_every_bad_input_is_refused(case: BadInput, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what the API server says, on the same object."""
    assert run_lint([write(case.body)]) == 1
    assert f"  {case.path}: {case.message}" in capsys.readouterr().out.splitlines()


def test_other_kinds_are_ignored_aloud(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A file may hold a whole application."""
    name = write({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, shortest_cascade())
    assert run_lint([name]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: ConfigMap/x: ignored (kind ConfigMap)",
        f"{name}: ModelCascade/assist: accepted",
    ]


def test_a_list_counts_as_its_items(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What `kubectl get -o yaml` prints can be checked as it is."""
    name = write({"apiVersion": "v1", "kind": "List", "items": [shortest_cascade(), 5]})
    assert run_lint([name]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: ModelCascade/assist: accepted",
        f"{name}: (no object): refused",
        "  (root): must be of type object",
    ]


def test_json_and_standard_input() -> None:
    """`-` reads what a pipeline sends, through the program that people call."""
    done = subprocess.run(
        [sys.executable, "-m", "modelcascade", "lint", "-"],
        input=json.dumps(shortest_cascade()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "-: ModelCascade/assist: accepted\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "holds no object", id="empty"),
        pytest.param("# only a comment\n---\n", "holds no object", id="only comments"),
        pytest.param("a: [1\nb: 2\n", "line 2: is no YAML: ", id="no YAML"),
        pytest.param("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: key 'c' stands twice in one object", id="a key twice"),
        pytest.param("? [a]\n: 1\n", "line 1: a key must be a word", id="a list as a key"),
        pytest.param("a: !!python/object:os.system x\n", "is no YAML: ", id="a tag that runs code"),
        pytest.param("a: \x00\n", "is no YAML: ", id="control characters"),
    ],
)
def test_a_file_that_is_no_yaml(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the place where there is one."""
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    assert run_lint([str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"{path}: ")
    assert said in shown.err
    assert shown.out == ""


def test_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, a folder, or no text: exit code 2, and the other files are still checked."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(shortest_cascade()))
    missing, folder, binary = str(tmp_path / "missing"), str(tmp_path), str(tmp_path / "binary")
    assert run_lint([missing, folder, binary, str(good)]) == 2
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        f"{missing}: cannot be read: No such file or directory",
        f"{folder}: cannot be read: Is a directory",
        f"{binary}: is no UTF-8 text: byte 0",
    ]
    assert shown.out == f"{good}: ModelCascade/assist: accepted\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"metadata": {"name": "x"}}, "  (root): apiVersion and kind are required"),
        (
            {"apiVersion": "modelcascade.dev/v1", "kind": "ModelCascade"},
            "  apiVersion: unsupported value, supported: modelcascade.dev/v1alpha1",
        ),
        (
            {"apiVersion": "modelcascade.dev/v1alpha1", "kind": "ModelTier"},
            "  kind: unsupported value, supported: ModelCascade, CascadeScalingPolicy",
        ),
        ("just words", "  (root): must be of type object"),
    ],
)
def test_what_is_no_object_of_ours(body: Any, said: str, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Our group with another kind or version is a mistake, not somebody else's object."""
    assert run_lint([write(body)]) == 1
    assert capsys.readouterr().out.splitlines()[1] == said


def test_times_stay_words(tmp_path: Path) -> None:
    """YAML would make a date of it; the API server gets JSON, which has none."""
    body = shortest_cascade()
    body["metadata"]["annotations"] = {"since": "TIME"}
    path = tmp_path / "dated.yaml"
    path.write_text(yaml.safe_dump(body).replace("TIME", "2026-01-01"))
    assert run_lint([str(path)]) == 0


def test_a_file_takes_less_than_100_ms(write: Any, figure: Any) -> None:
    """The largest cascade that the table has, after the start."""
    name = write(base_object("ModelCascade"))
    run_lint([name])
    start = time.perf_counter()
    run_lint([name])
    figure("lint, one file of four tiers, after start", (time.perf_counter() - start) * 1000, 100, "ms")
