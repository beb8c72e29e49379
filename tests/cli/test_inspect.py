"""`modelcascade inspect`: the verdict, the report, the link."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelcascade.api.documents import Inspection, parse_inspection
from modelcascade.cli.inspect import inspect_model, run_inspect
from support.gguf_files import write_gguf


def judge(
    folder: Path, *, file: str | None = None, format_: str = "GGUF", variant: str | None = "Q4_K_M"
) -> Inspection:
    """The verdict about a folder."""
    return inspect_model(folder, file=file, format_=format_, variant=variant)


def test_the_only_file_is_found_and_described(tmp_path: Path) -> None:
    """Without a name, the one .gguf there is the model, wherever it lies."""
    path = write_gguf(tmp_path / "deep" / "m.gguf")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / ".hidden.gguf").write_text("x")
    found = judge(tmp_path)
    assert ("Ok", str(path), "GGUF", "Q4_K_M") == (found.outcome, found.path, found.found_format, found.found_variant)
    assert ("llama", 2, 4, 32, 512, 768) == (
        found.architecture,
        found.layers,
        found.kv_heads,
        found.head_dim,
        found.context_length,
        found.weights_bytes,
    )
    assert "m.gguf holds GGUF Q4_K_M, as declared." == found.message


@pytest.mark.parametrize("variant", [None, "Q4_K_M", "q4_k_m", "Q4_K"])
def test_spellings_of_the_same_variant(tmp_path: Path, variant: str | None) -> None:
    """Any case, llama-quantize's alias, or no variant at all."""
    write_gguf(tmp_path / "m.gguf", file_type=15)
    assert "Ok" == judge(tmp_path, variant=variant).outcome


@pytest.mark.parametrize(("variant", "outcome"), [("F16", "Ok"), ("F16_X", "Ok"), ("Q4_K_M", "VariantMismatch")])
def test_a_file_that_does_not_say_its_type(tmp_path: Path, variant: str, outcome: str) -> None:
    """Then the prevailing tensor type decides, as far as it can."""
    write_gguf(tmp_path / "m.gguf", file_type=None)
    assert outcome == judge(tmp_path, variant=variant).outcome


def test_a_wrong_variant_is_told_with_both_names(tmp_path: Path) -> None:
    """The person reads what the file holds and what to declare, and the operator still gets the figures."""
    write_gguf(tmp_path / "m.gguf", file_type=7)
    found = judge(tmp_path)
    assert ("VariantMismatch", "Q8_0", 2) == (found.outcome, found.found_variant, found.layers)
    assert (
        "m.gguf holds Q8_0 and quantization.variant says Q4_K_M: declare Q8_0, or name another file." == found.message
    )


def test_another_declared_format(tmp_path: Path) -> None:
    """A GGUF file is no AWQ model."""
    write_gguf(tmp_path / "m.gguf")
    found = judge(tmp_path, format_="AWQ")
    assert ("FormatMismatch", "GGUF") == (found.outcome, found.found_format)


@pytest.mark.parametrize(
    ("files", "file", "outcome", "words"),
    [
        pytest.param([], None, "FileNotFound", "no .gguf file; it holds no files.", id="nothing there"),
        pytest.param(["a.bin", "b/c.txt"], None, "FileNotFound", "it holds a.bin, b/c.txt.", id="other files"),
        pytest.param(["a.gguf"], "x.gguf", "FileNotFound", "no file 'x.gguf'; it holds a.gguf.", id="wrong name"),
        pytest.param(["a.gguf"], ".", "FileNotFound", "no file '.'", id="a folder"),
        pytest.param([f"{n}.gguf" for n in range(7)], "x", "FileNotFound", "3.gguf, 4.gguf and 2 more.", id="many"),
        pytest.param(["a.gguf", "b.gguf"], None, "FileAmbiguous", "2 .gguf files: a.gguf, b.gguf. Name one", id="two"),
        pytest.param(
            ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"],
            None,
            "FileAmbiguous",
            "such as m-00001-of-00002.gguf.",
            id="split, not named",
        ),
        pytest.param(["a.gguf"], None, "NotGGUF", "a.gguf does not start with the letters GGUF", id="no GGUF"),
        pytest.param(["m.safetensors"], "m.safetensors", "FormatMismatch", "is a safetensors file", id="safetensors"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: list[str], file: str | None, outcome: str, words: str) -> None:
    """The message names what was looked for, what is there, and the next step."""
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no model")
    found = judge(tmp_path, file=file)
    assert (outcome, True) == (found.outcome, words in found.message), found.message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A path inside a claim may be wrong."""
    found = judge(tmp_path / "qwen")
    assert ("FileNotFound", True) == (found.outcome, "no folder 'qwen'" in found.message)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    """The header promises more bytes than there are."""
    path = write_gguf(tmp_path / "m.gguf")
    os.truncate(path, path.stat().st_size - 600)
    found = judge(tmp_path)
    assert ("Truncated", True) == (found.outcome, "it is cut off" in found.message)
    os.truncate(path, 40)
    assert "Truncated" == judge(tmp_path).outcome


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """An error of the system is a verdict too: a link into nowhere stands for it, since root may read all."""
    (tmp_path / "m.gguf").symlink_to(tmp_path / "gone")
    found = judge(tmp_path)
    assert ("FileNotFound", True) == (found.outcome, "cannot be read" in found.message)


def test_a_split_model_is_read_as_a_whole(tmp_path: Path) -> None:
    """All parts must be there; the sizes add up; llama-server opens the first."""
    names = [f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        write_gguf(tmp_path / name, shards=3, shard=number)
    found = judge(tmp_path, file=names[0])
    assert ("Ok", 3 * 768, str(tmp_path / names[0])) == (found.outcome, found.weights_bytes, found.path)
    second = judge(tmp_path, file=names[1])
    assert ("FileNotFound", True) == (second.outcome, "is part 2 of a model in 3 files" in second.message)
    (tmp_path / names[2]).unlink()
    missing = judge(tmp_path, file=names[0])
    assert ("FileNotFound", True) == (missing.outcome, f"needs {names[2]}" in missing.message)


def test_a_part_under_another_name_is_refused(tmp_path: Path) -> None:
    """llama-server finds the other parts by the name alone."""
    write_gguf(tmp_path / "m.gguf", shards=2)
    assert "FileNotFound" == judge(tmp_path).outcome


def test_report_and_link(tmp_path: Path) -> None:
    """The engine opens the link; a second run of the container replaces it."""
    path = write_gguf(tmp_path / "models" / "m.gguf")
    link, report = tmp_path / "found.gguf", tmp_path / "report"
    arguments = ["--path", str(path.parent), "--format", "GGUF", "--link", str(link), "--report", str(report)]
    assert [0, 0] == [run_inspect(arguments), run_inspect(arguments)]
    assert path == link.resolve()
    assert 0 == run_inspect(arguments[:4])
    found = parse_inspection(report.read_text())
    assert isinstance(found, Inspection)
    assert "Ok" == found.outcome


def test_a_refused_model_gets_no_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 keeps the pod from starting the engine; the report is on standard output as well."""
    arguments = ["--path", str(tmp_path), "--format", "GGUF", "--link", str(tmp_path / "x")]
    assert 1 == run_inspect(arguments)
    assert "FileNotFound" == json.loads(capsys.readouterr().out)["outcome"]
    assert not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--path", "x"], 2), (["--nonsense"], 2)])
def test_usage(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Help is no error, a wrong call is."""
    assert code == run_inspect(arguments)
    capsys.readouterr()


def test_the_report_fits_a_termination_message(tmp_path: Path) -> None:
    """The kubelet cuts at 4096 bytes, and half a document is none; file names can be long and of any script."""
    deep = tmp_path / "/".join(["é" * 127] * 5)
    deep.mkdir(parents=True)
    for number in range(6):
        (deep / f"{number}.gguf").write_text("x")
    (tmp_path / "\udcff.gguf").write_text("x")
    report = tmp_path / "report"
    assert 1 == run_inspect(["--path", str(tmp_path), "--format", "GGUF", "--report", str(report)])
    assert len(report.read_bytes()) <= 4096
    assert isinstance(parse_inspection(report.read_text()), Inspection)


def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    """As the init container calls it."""
    write_gguf(tmp_path / "m.gguf", file_type=7)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "modelcascade",
            "inspect",
            "--path",
            str(tmp_path),
            "--format",
            "GGUF",
            "--variant",
            "F16",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (1, "VariantMismatch") == (done.returncode, json.loads(done.stdout)["outcome"])
