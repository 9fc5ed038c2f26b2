"""Machines on which hosted runners run jobs: each a fresh clone with an empty home, without a terminal."""

import concurrent.futures
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml


def load(path):
    """YAML with every value as it is written: `on` is no boolean here."""
    return yaml.load(Path(path).read_text(), Loader=yaml.BaseLoader)


def git(directory, *arguments):
    command = ["git", "-c", "user.name=dev", "-c", "user.email=dev@example.org", "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


class Result:
    """How a job went: `ok` is None for one that was skipped."""

    def __init__(self, name):
        self.name, self.ok, self.output = name, None, ""

    def succeeds(self):
        assert self.ok is True, f"{self.name} failed\n{self.output}"
        return self

    def fails(self, *words):
        assert self.ok is False, f"{self.name} did not fail\n{self.output}"
        return self.says(*words)

    def says(self, *words):
        for word in words:
            assert word in self.output, f"`{word}` is not in the log of {self.name}\n{self.output}"
        return self


class Machine:
    """A machine that has never run a job."""

    def __init__(self, origin, ref, tools=None):
        self.keep = tempfile.TemporaryDirectory()
        self.root = Path(self.keep.name)
        for name in ["home", "temp", "work"]:
            (self.root / name).mkdir()
        self.work = self.root / "work/project"
        self.origin = origin
        self.path = [str(tools)] if tools else []
        self.clone(ref)

    def clone(self, ref):
        shutil.rmtree(self.work, ignore_errors=True)
        git(self.root, "clone", "--quiet", "--no-checkout", str(self.origin), str(self.work))
        git(self.work, "checkout", "--quiet", "--detach", ref)

    def bash(self, script, env, flags):
        """Runs a script without a terminal, and gives its exit code and output."""
        base = {"PATH": ":".join([*self.path, "/usr/local/bin", "/usr/bin", "/bin"]), "HOME": str(self.root / "home"), "CI": "true", "LANG": "C.UTF-8"}
        file = self.root / "temp/script.sh"
        file.write_text(script)
        result = subprocess.run(
            ["bash", *flags, str(file)], cwd=self.work, env={**base, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, start_new_session=True,
        )
        return result.returncode, result.stdout


def all_succeed(results, *names):
    """Of the jobs, these ran and no others, and all succeeded."""
    assert sorted(name for name, result in results.items() if result.ok is not None) == sorted(names), list(results)
    for name in names:
        results[name].succeeds()


def at_once(*calls):
    """Starts all of them at the same time and gives their results."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
