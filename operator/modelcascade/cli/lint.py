"""
`modelcascade lint FILE…`: the API server's verdict without an API server, with field paths and what to do.

Exit code 0: every object is accepted; 1: an object is refused; 2: a file cannot be read or is no YAML.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelcascade.api.parse import SpecProblems, parse_cascade_strict, parse_policy_strict
from modelcascade.api.problems import Problem
from modelcascade.api.unsupported import find_unsupported
from modelcascade.api.v1alpha1.meta import API_VERSION, GROUP

__all__ = ["FileError", "read_documents", "run_lint"]

ACCEPTED, REFUSED, UNREADABLE = 0, 1, 2


class FileError(Exception):
    """A file cannot be used at all; the message says why and where."""


class _UniqueKeysLoader(yaml.CSafeLoader):
    """YAML as Kubernetes clients read it strictly: a key that stands twice is a mistake, not the last one wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """A mapping whose keys are words and stand once."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise FileError(f"line {line}: a key must be a word")
            if key_node.value in seen:
                raise FileError(f"line {line}: key {key_node.value!r} stands twice in one object")
            seen.add(key_node.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


# Times stay words, as in JSON, which is what the API server gets.
_UniqueKeysLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class _Verdict:
    subject: str
    problems: tuple[Problem, ...]
    ignored: str | None = None


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"is no UTF-8 text: byte {error.start}") from error


def read_documents(name: str) -> Iterator[Any]:
    """
    The YAML documents of a file, or of standard input for `-`; empty documents are left out.

    Raises `FileError` when the file cannot be read, is no YAML, repeats a key, or holds no document.
    """
    text = _text(name)
    try:
        documents = [each for each in yaml.load_all(text, Loader=_UniqueKeysLoader) if each is not None]
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise FileError(f"{place}is no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FileError(f"is no YAML: {error}") from error
    if not documents:
        raise FileError("holds no object")
    yield from documents


def _unfold(document: Any) -> Iterator[Any]:
    """`kind: List`, as kubectl prints it, counts as its items."""
    if isinstance(document, Mapping) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        yield from document["items"]
    else:
        yield document


def _judge(document: Any) -> _Verdict:
    if not isinstance(document, Mapping):
        return _Verdict("(no object)", (Problem("(root)", "must be of type object"),))
    version, kind = document.get("apiVersion"), document.get("kind")
    metadata = document.get("metadata")
    name = metadata.get("name", "(no name)") if isinstance(metadata, Mapping) else "(no name)"
    subject = f"{kind or '(no kind)'}/{name}"
    if not isinstance(version, str) or not isinstance(kind, str):
        return _Verdict(subject, (Problem("(root)", "apiVersion and kind are required"),))
    if version.partition("/")[0] != GROUP:
        return _Verdict(subject, (), ignored=f"kind {kind}")
    if version != API_VERSION:
        return _Verdict(subject, (Problem("apiVersion", f"unsupported value, supported: {API_VERSION}"),))
    match kind:
        case "ModelCascade":
            cascade = parse_cascade_strict(document)
            if isinstance(cascade, SpecProblems):
                return _Verdict(subject, cascade.problems)
            return _Verdict(subject, find_unsupported(cascade))
        case "CascadeScalingPolicy":
            policy = parse_policy_strict(document)
            return _Verdict(subject, policy.problems if isinstance(policy, SpecProblems) else ())
        case _:
            supported = "unsupported value, supported: ModelCascade, CascadeScalingPolicy"
            return _Verdict(subject, (Problem("kind", supported),))


def _lines(name: str, verdict: _Verdict) -> Iterator[str]:
    if verdict.ignored is not None:
        yield f"{name}: {verdict.subject}: ignored ({verdict.ignored})"
        return
    yield f"{name}: {verdict.subject}: {'refused' if verdict.problems else 'accepted'}"
    for problem in verdict.problems:
        yield f"  {problem}"


def _lint_file(name: str) -> int:
    try:
        verdicts = [_judge(each) for document in read_documents(name) for each in _unfold(document)]
    except FileError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return UNREADABLE
    for verdict in verdicts:
        print(*_lines(name, verdict), sep="\n")
    return REFUSED if any(verdict.problems for verdict in verdicts) else ACCEPTED


def run_lint(arguments: Iterable[str]) -> int:
    """Print a verdict for each object of each file; the largest exit code of all files."""
    parser = argparse.ArgumentParser(
        prog="modelcascade lint",
        description="Check ModelCascade and CascadeScalingPolicy objects as the API server would, without one.",
        epilog="Exit code 0: all accepted; 1: an object is refused; 2: a file cannot be read or is no YAML.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON with one or more objects; - is stdin")
    return max(_lint_file(name) for name in parser.parse_args(list(arguments)).files)
