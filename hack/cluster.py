"""
The development cluster: `python3 hack/cluster.py VERB`.

Needs nothing but Python 3.11: it runs before `make setup`. Verbs and promises: docs/development-cluster.md.
"""

from devcluster.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
