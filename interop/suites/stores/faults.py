"""The fault matrix: at every storage call of every command, fail, lie, hang, or kill -9 the publisher before or after it.

At each point python-tuf and the trdl client, fresh and with yesterday's state, must read the old or the new repository in
full; the same command again must complete; nothing acknowledged may be gone; what is left must be what prune finds.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from clients import PythonTuf, Trdl, sha512
from suites.stores.publisher import channels, publish
from web import Gateway

FAULTY = os.environ["FAULTY"]
KINDS = ["fail", "lie", "kill", "killed", "hang"]
FORTY_DAYS = 40 * 24
COMMANDS = {  # name: (hours that the clock is ahead, arguments)
    "release": (0, ["release", "1.0.2", "dist"]),
    "channels": (0, ["channels"]),
    "refresh": (60, ["refresh"]),
    "yank": (0, ["yank", "1.0.1"]),
    "prune": (FORTY_DAYS, ["prune"]),
}


class Bench:
    """A publisher, clients and a repository `name` that a publisher in directory `base` has prepared; `point` is a copy of it."""

    def __init__(self, place, directory, base, name):
        self.place, self.directory, self.base, self.prepared = place, Path(directory), base, name
        self.gateway = Gateway(place, name)
        self.name = f"{name}-point"
        self.root = (base / "keys/1.root.json").read_bytes()
        self.python = PythonTuf(self.gateway.url, self.root, self.directory / "python-base")
        self.python.reads()
        self.trdl = Trdl(self.directory / "trdl-base").add(self.gateway.url, sha512(self.root))
        assert self.trdl.version() == "1.0.0"

    def start(self):
        """The repository, the publisher and the clients as they were yesterday."""
        self.place.copy(self.prepared, self.name)
        self.gateway.name = self.name
        self.work = self.directory / "work"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        for name in ["keys", "dist"]:
            (self.work / name).symlink_to(self.base / name)
        shutil.copy(self.base / ".publish-state.json", self.work)
        (self.work / "publish.yaml").write_text("name: acme\n" + self.place.config(self.name))
        self.old_python = self.python.forked(self.directory / "python-old")
        self.old_trdl = self.trdl.forked(self.directory / "trdl-old")
        # Another point's staging locks are files of the repository's directory: this one begins without any.
        for left in self.place.leftovers(self.name):
            assert self.place.kind == "local", left

    def faulty(self, fault, command):
        hours, arguments = COMMANDS[command]
        return [FAULTY, fault, str(hours), "publish.yaml", *arguments]

    def run(self, fault, command):
        return subprocess.run(self.faulty(fault, command), cwd=self.work, capture_output=True, text=True, timeout=120)

    def completes(self, command):
        result = self.run("none", command)
        assert result.returncode == 0, f"again: {result.stdout}\n{result.stderr}"
        return result.stdout.splitlines()

    def check_clients(self, when, command):
        targets = self.gateway.targets()
        release = lambda version: {name for name in targets if name.split("/")[1] == version and name.split("/")[0] in ["releases", "signatures"]}
        for version, count in [("1.0.0", 4), ("1.0.1", 4), ("1.0.2", 4)]:
            found = len(release(version))
            whole = [count] if version == "1.0.0" or (version == "1.0.1" and command != "yank") else [0, count]
            assert found in whole, f"{when}: {found} targets of {version}"
        for client in [self.old_python, PythonTuf(self.gateway.url, self.root, tempfile.mkdtemp(dir=self.directory))]:
            client.reads(targets)
        expected = ["1.0.0", "1.0.1"] if command == "channels" else ["1.0.0"]
        for client in [self.old_trdl, Trdl(tempfile.mkdtemp(dir=self.directory)).add(self.gateway.url, sha512(self.root))]:
            assert client.version() in expected, when
        return targets

    def count(self, command):
        self.start()
        if command == "channels":
            channels(self.work, "1.0.1")
        return int(self.completes(command)[-1])

    def point(self, command, kind, at):
        self.start()
        if command == "channels":
            channels(self.work, "1.0.1")
        hung = None
        if kind == "hang":
            hung = subprocess.Popen(self.faulty(f"{kind}:{at}", command), cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            if not any(line.startswith("hanging") for line in hung.stdout):
                # Threads share the calls out differently from run to run: this time there were fewer.
                hung.wait()
                hung = None
        else:
            self.run(f"{kind}:{at}", command)
        self.check_clients("at the fault", command)
        self.completes(command)
        if hung:
            # It was still there while the same command completed.
            hung.kill()
            hung.wait()
        targets = self.check_clients("after the second run", command)
        assert ("releases/1.0.2/any-any/bin/tool" in targets) == (command == "release")
        assert ("releases/1.0.1/any-any/bin/tool" in targets) == (command != "yank")
        stable = self.place.read(self.name, "targets/channels/0/stable")
        assert stable == (b"1.0.1\n" if command == "channels" else b"1.0.0\n"), stable
        publish(self.work, "verify")
        # Whatever the faulty run left is found by prune, once it is old enough, and nothing else is.
        found = json.loads(self.completes("prune")[0])
        assert found["strange"] == [], found["strange"]
        assert self.place.leftovers(self.name) == [], self.place.leftovers(self.name)
        assert json.loads(self.completes("prune")[0])["objects"] == []
        self.check_clients("after a prune", command)
        publish(self.work, "verify")
