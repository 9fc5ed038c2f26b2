"""A publisher of a program, and its repository on the web."""

import json
from pathlib import Path

from clients import GoTuf, PythonTuf, Trdl
from programs import BUILDS, PUBLISH, run
from web import Site


class Project:
    """A publisher's directory with its repository served over http."""

    def __init__(self, directory):
        self.directory = Path(directory)
        (self.directory / "repo").mkdir()
        self.site = Site(self.directory / "repo")
        self.url = self.site.url
        self.groups = {}

    def publish(self, *arguments, at=None, **kwargs):
        command = [PUBLISH, *arguments] if at is None else ["faketime", "-f", at, PUBLISH, *arguments]
        return run(*command, cwd=self.directory, **kwargs)

    def init(self, *arguments, at=None):
        document = json.loads(self.publish("init", "--name", "ruff", "--public-url", self.url, "--no-passphrase", "--json", *arguments, at=at))
        self.sha512 = document["result"]["root_sha512"]
        self.certificate = document["certificate_url"]
        assert document["trdl_add"] == f"trdl add ruff {self.url} 1 {self.sha512}", document

    def point(self, group, version):
        """Writes all channels of a group, pointing at one version."""
        self.groups[group] = version
        lines = ["groups:"]
        for name, points in self.groups.items():
            lines += [f'- name: "{name}"', "  channels:"]
            for channel in ["dev", "alpha", "beta", "ea", "stable", "rock-solid"]:
                lines += [f"  - name: {channel}", f"    version: {points}"]
        (self.directory / "trdl_channels.yaml").write_text("\n".join(lines) + "\n")

    def release(self, version, *arguments, **kwargs):
        return self.publish("release", version, "--from", BUILDS / version, *arguments, **kwargs)

    def targets(self):
        timestamp = json.loads((self.directory / "repo/timestamp.json").read_bytes())
        snapshot = self.directory / f"repo/{timestamp['signed']['meta']['snapshot.json']['version']}.snapshot.json"
        version = json.loads(snapshot.read_bytes())["signed"]["meta"]["targets.json"]["version"]
        return json.loads((self.directory / f"repo/{version}.targets.json").read_bytes())["signed"]["targets"]

    # Users, each pinned to the first root unless another is given.

    def trdl(self, name, version=1, sha512=None):
        return Trdl(self.directory / f"trdl-{name}", "ruff").add(self.url, sha512 or self.sha512, version)

    def python(self, name, root=None):
        return PythonTuf(self.url, root or (self.directory / "repo/1.root.json").read_bytes(), self.directory / f"python-{name}")

    def go(self, name):
        return GoTuf(self.url, self.directory / "repo/1.root.json", self.directory / f"go-{name}.db")

    def read_whole_by(self, python):
        """How many targets there are, each of which this user has downloaded and checked."""
        targets = self.targets()
        python.reads(targets)
        return len(targets)
