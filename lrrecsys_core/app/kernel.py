"""The kernel of executed notebooks: the interpreter and the package that run them, and no other."""

from __future__ import annotations

import os
import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager


class OwnKernel(AsyncKernelManager):
    """Starts this interpreter with this process's module path, whatever kernelspecs are installed or named.

    A kernelspec called ``python3`` may be anybody's: one found through JUPYTER_PATH would run another checkout.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        """Written here instead of looked up."""
        # jupyter_client fills in whatever stands between braces, which a folder's name may hold.
        modules = repr([os.path.abspath(place) for place in sys.path]).replace("{", r"\x7b")
        start = f"import sys; sys.path[:] = {modules}; from ipykernel.kernelapp import launch_new_instance as go; go()"
        return KernelSpec(
            argv=[sys.executable, "-c", start, "-f", "{connection_file}"], display_name="Python 3", language="python"
        )
