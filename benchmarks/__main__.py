"""Run every benchmark, or those named: ``python -m benchmarks [theory ...]``; each writes into ``results/bench/``."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(chosen: list[str]) -> int:
    """Call ``main`` of each benchmark module in alphabetical order; 2 when a name is unknown."""
    modules = {
        found.name: module
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if found.name != "__main__" and hasattr(module := importlib.import_module(f"benchmarks.{found.name}"), "main")
    }
    for name in chosen:
        if name not in modules:
            print(f"there is no benchmark {name!r}: choose among {', '.join(modules)}", file=sys.stderr)
            return 2
    for name in chosen or modules:
        modules[name].main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
