"""
The entry point of every process and verb: `modelcascade SUBCOMMAND`.

A shell is imported inside the branch that runs it, so that a router never loads kopf.
"""

import sys

__all__ = ["main"]

USAGE = """usage: modelcascade SUBCOMMAND [options]   (SUBCOMMAND --help says more)

processes
  operator   watch ModelCascade objects and keep their tiers and router in place
  router     answer the OpenAI API for one cascade; with --routes FILE outside a cluster too
  inspect    look at a mounted model file before an engine starts

verbs
  lint       check cascades and policies offline: verdict, field path and what to do
  render     print the objects that would be applied, as YAML
"""


def main() -> int:
    """Pick the process or the verb; the exit code is 0, 1 (refused) or 2 (usage)."""
    match sys.argv[1:]:
        case ["operator", *arguments]:
            from modelcascade.controller.run import run_operator  # noqa: PLC0415 - only what this process needs

            return run_operator(arguments)
        case ["router", *arguments]:
            from modelcascade.router.run import run_router  # noqa: PLC0415

            return run_router(arguments)
        case ["inspect", *arguments]:
            from modelcascade.cli.inspect import run_inspect  # noqa: PLC0415

            return run_inspect(arguments)
        case ["lint", *arguments]:
            from modelcascade.cli.lint import run_lint  # noqa: PLC0415

            return run_lint(arguments)
        case ["render", *arguments]:
            from modelcascade.cli.render import run_render  # noqa: PLC0415

            return run_render(arguments)
        case ["-h" | "--help" | "help", *_]:
            sys.stdout.write(USAGE)
            return 0
        case []:
            sys.stderr.write(USAGE)
            return 2
        case [unknown, *_]:
            sys.stderr.write(f"modelcascade: unknown subcommand {unknown!r}\n\n{USAGE}")
            return 2
    return 2


if __name__ == "__main__":
    sys.exit(main())
