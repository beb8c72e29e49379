"""`modelcascade render`: exactly what would be applied, or what is wrong."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelcascade.cli.render import run_render
from modelcascade.planning.plan import plan_cascade
from support.cascades import DEFAULTS, UID, accepted, cascade_body, tier_body


def write(path: Path, *bodies: object) -> str:
    """A file with these documents."""
    path.write_text(yaml.safe_dump_all(bodies))
    return str(path)


OPTIONS = ["--operator-image", DEFAULTS.operator_image, "--engine-image", DEFAULTS.llama_cpp_image]


def test_it_prints_what_the_operator_would_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the cascade's own uid and the platform's images, byte for byte the plan."""
    assert 0 == run_render([write(tmp_path / "c.yaml", cascade_body()), *OPTIONS])
    shown = capsys.readouterr().out
    expected = [one.body for one in plan_cascade(accepted(cascade_body()), DEFAULTS).objects]
    assert expected == list(yaml.safe_load_all(shown))
    assert "ModelCascade team/assist" in shown


def test_names_that_only_a_cluster_gives_are_stand_ins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file has no uid and often no namespace; other kinds in it are passed over."""
    body = cascade_body()
    body["metadata"] = {"name": "assist"}
    path = write(tmp_path / "c.yaml", {"kind": "Namespace", "metadata": {"name": "x"}}, None, body)
    assert 0 == run_render([path, "--namespace", "elsewhere"])
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {"elsewhere"} == {one["metadata"]["namespace"] for one in objects}
    assert {"00000000-0000-0000-0000-000000000000"} == {one["metadata"]["ownerReferences"][0]["uid"] for one in objects}


def test_a_suspended_tiers_deployment_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would not be created; a comment says so."""
    body = cascade_body(tier_body(), tier_body("large", "Specialist") | {"state": "Suspended"})
    assert 0 == run_render([write(tmp_path / "c.yaml", body)])
    shown = capsys.readouterr().out
    names = {(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(shown)}
    assert ("Deployment", "assist-large") not in names
    assert "# Deployment/assist-large is not created while tier large is Suspended." in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a: [", "c.yaml: while parsing", id="no YAML"),
        pytest.param("", "holds no ModelCascade", id="empty"),
        pytest.param("kind: Service", "holds no ModelCascade", id="another kind"),
        pytest.param("- 1", "holds no ModelCascade", id="a list"),
        pytest.param(
            yaml.safe_dump(cascade_body(rotuer={"replicas": 2})),
            "c.yaml: spec.rotuer: unknown field",
            id="a typing error",
        ),
        pytest.param(
            yaml.safe_dump(cascade_body(tier_body("router"))),
            "spec.tiers[0].name: name is reserved",
            id="a broken rule",
        ),
    ],
)
def test_what_would_be_refused_is_not_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    """Exit code 1, the path and the words on standard error, and no objects."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert 1 == run_render([str(path)])
    shown = capsys.readouterr()
    assert ("", True) == (shown.out, words in shown.err), shown.err


def test_a_field_that_is_not_served_yet_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rendering around it would promise what the operator does not keep."""
    theirs = {"name": "theirs", "role": "Specialist", "backendRef": {"kind": "Service", "name": "x", "port": 80}}
    assert 1 == run_render([write(tmp_path / "c.yaml", cascade_body(tier_body(), theirs))])
    assert "is not served by this version yet" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, no stack trace."""
    assert 1 == run_render([str(tmp_path / "gone.yaml")])
    assert "gone.yaml" in capsys.readouterr().err


def test_standard_input_and_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A dash reads a pipe; a call without file is a wrong call."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(yaml.safe_dump(cascade_body())))
    assert [0, 2, 0] == [run_render(["-"]), run_render([]), run_render(["--help"])]
    assert UID in capsys.readouterr().out


def test_it_runs_as_a_command(tmp_path: Path) -> None:
    """As a person calls it."""
    path = write(tmp_path / "c.yaml", cascade_body())
    done = subprocess.run(
        [sys.executable, "-m", "modelcascade", "render", path], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
