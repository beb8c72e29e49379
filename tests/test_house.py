"""The shape of the house: what must not exist, and what a process must not load."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_source_root_is_no_package() -> None:
    """With operator/__init__.py, `import re` from the repository's root finds our folder as the module `operator`."""
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        pytest.param("modelcascade.router.run", ("kopf", "prometheus_api_client", "jinja2"), id="router"),
        pytest.param("modelcascade.cli.inspect", ("kopf", "kubernetes", "aiohttp", "jinja2"), id="inspect"),
        pytest.param("modelcascade.cli.lint", ("kopf", "kubernetes", "aiohttp"), id="lint"),
        pytest.param("modelcascade.__main__", ("kopf", "kubernetes", "aiohttp", "pydantic"), id="entry point"),
    ],
)
def test_a_process_loads_only_what_it_uses(module: str, unwanted: tuple[str, ...]) -> None:
    """Memory and start time of a process are those of its own room."""
    program = f"import sys, {module}; print(*(name for name in {unwanted!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "" == done.stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param([], 2, "usage: modelcascade SUBCOMMAND", id="nothing"),
        pytest.param(["--help"], 0, "usage: modelcascade SUBCOMMAND", id="help"),
        pytest.param(["serve"], 2, "unknown subcommand 'serve'", id="unknown"),
    ],
)
def test_the_entry_point_says_what_there_is(arguments: list[str], code: int, said: str) -> None:
    """A wrong word is answered with the list of right ones."""
    done = subprocess.run(
        [sys.executable, "-m", "modelcascade", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (code, True) == (done.returncode, said in done.stdout + done.stderr)
