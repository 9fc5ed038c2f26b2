"""The programs and builds that `setup.sh` installs, and how the suites run them."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ["INTEROP_CACHE"])
PUBLISH, TRDL = os.environ["PUBLISH"], os.environ["TRDL"]
# Go-tuf's repository tool and its client.
GO_TUF, TUF_CLIENT = str(CACHE / "go-tuf"), str(CACHE / "tuf-client")
# Two versions of a real program for six platforms, one of which this machine runs.
BUILDS, OLD, NEW = CACHE / "dist", "0.12.0", "0.12.1"
MACHINE = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}[os.uname().machine]


def run(*command, env=None, cwd=None, fails=False, timeout=120):
    """Runs a command and gives its stdout; an exit code other than the expected kind is an error that shows everything."""
    result = subprocess.run([str(part) for part in command], env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=timeout)
    if (result.returncode != 0) != fails:
        raise AssertionError(f"{command} exited with code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stdout + (result.stderr if fails else "")
