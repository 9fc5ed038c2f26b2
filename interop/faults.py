"""The fault matrix: at every storage call of every command, fail, lie, hang, or kill -9 the publisher before or after it.

At each point python-tuf and the trdl client, fresh and with yesterday's state, must read the old or the new repository in
full; the same command again must complete; nothing acknowledged may be gone; what is left must be what prune finds.

  faults.py local release channels          every point of two commands in a directory
  faults.py s3 --sample 60 --seed 7          so many points of all commands, drawn by chance
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from places import Bucket, Directory
from clients import Gateway, PythonTuf, Trdl, forked

PUBLISH, FAULTY = os.environ["PUBLISH"], os.environ["FAULTY"]
KINDS = ["fail", "lie", "kill", "killed", "hang"]
FORTY_DAYS = 40 * 24
COMMANDS = {  # name: (hours that the clock is ahead, arguments)
    "release": (0, ["release", "1.0.2", "dist"]),
    "channels": (0, ["channels"]),
    "refresh": (60, ["refresh"]),
    "yank": (0, ["yank", "1.0.1"]),
    "prune": (FORTY_DAYS, ["prune"]),
}


def publish(directory, *arguments, code=0):
    result = subprocess.run([PUBLISH, *arguments], cwd=directory, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, f"publish {arguments} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def channels(directory, version):
    (directory / "trdl_channels.yaml").write_text(f'groups:\n- name: "0"\n  channels:\n  - {{name: stable, version: {version}}}\n')


class Bench:
    """One worker's publisher, clients and repository."""

    def __init__(self, place, directory, base):
        self.place, self.directory, self.base = place, Path(directory), base
        self.gateway = Gateway(place)
        self.name = f"point-{os.getpid()}"
        self.root = (base / "keys/1.root.json").read_bytes()
        self.gateway.name = "base"
        self.before = self.gateway.targets()
        self.python = PythonTuf(self.gateway.url, self.root, self.directory / "python-base")
        self.python.reads()
        self.trdl = Trdl(self.directory / "trdl-base").add(self.gateway.url, self.root)
        assert self.trdl.version() == "1.0.0"

    def start(self):
        """The repository, the publisher and the clients as they were yesterday."""
        self.place.copy("base", self.name)
        self.gateway.name = self.name
        self.work = self.directory / "work"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        for name in ["keys", "dist"]:
            (self.work / name).symlink_to(self.base / name)
        shutil.copy(self.base / ".publish-state.json", self.work)
        (self.work / "publish.yaml").write_text("name: acme\n" + self.place.config(self.name))
        self.old_python = forked(self.python, self.directory / "python-old")
        self.old_trdl = forked(self.trdl, self.directory / "trdl-old")
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
        for client in [self.old_trdl, Trdl(tempfile.mkdtemp(dir=self.directory)).add(self.gateway.url, self.root)]:
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


def place_of(arguments, directory):
    if arguments.store == "local":
        (directory / "repos").mkdir(exist_ok=True)
        return Directory(directory / "repos")
    return Bucket(os.environ["STORES_S3_ENDPOINT"], os.environ["STORES_S3"].removeprefix("s3://"))


def prepare(place, base):
    base.mkdir()
    for platform in ["any-any", "linux-amd64"]:
        tool = base / "dist" / platform / "bin/tool"
        tool.parent.mkdir(parents=True)
        tool.write_text(f"#!/bin/sh\necho {platform}\n")
    (base / "publish.yaml").write_text("name: acme\n" + place.config("base"))
    place.remove("base")
    publish(base, "init", "--no-passphrase")
    for version in ["0.9.0", "1.0.0", "1.0.1"]:
        publish(base, "release", version, "--from", "dist")
    publish(base, "yank", "0.9.0", "--confirm", "0.9.0")
    channels(base, "1.0.0")
    publish(base, "channels")


def work(job):
    arguments, directory, base, points = job
    with tempfile.TemporaryDirectory(dir=directory) as own:
        place = place_of(arguments, directory)
        bench = Bench(place, own, base)
        failed = []
        for command, kind, at in points:
            try:
                bench.point(command, kind, at)
            except Exception as error:
                failed.append(f"{command} {kind}:{at}: {error}")
                print("FAILED ", failed[-1], flush=True)
        place.remove(bench.name)
        return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store", choices=["local", "s3"])
    parser.add_argument("commands", nargs="*", default=[])
    parser.add_argument("--sample", type=int, help="so many points, drawn by chance")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    commands = arguments.commands or list(COMMANDS)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        directory = Path(directory)
        place = place_of(arguments, directory)
        base = directory / "publisher"
        prepare(place, base)
        (directory / "counting").mkdir()
        bench = Bench(place, directory / "counting", base)
        counts = {command: bench.count(command) for command in commands}
        place.remove(bench.name)
        points = [(command, kind, at) for command in commands for at in range(1, counts[command] + 1) for kind in KINDS]
        everything = len(points)
        if arguments.sample:
            points = random.Random(arguments.seed).sample(points, min(arguments.sample, everything))
        began = time.time()
        shares = [(arguments, directory, base, points[worker::arguments.jobs]) for worker in range(arguments.jobs)]
        with multiprocessing.Pool(arguments.jobs) as pool:
            failed = [line for lines in pool.map(work, shares) for line in lines]
        place.remove("base")
    calls = ", ".join(f"{command} {count}" for command, count in counts.items())
    seed = f", seed {arguments.seed}" if arguments.sample else ""
    print(f"faults on {arguments.store}: {len(points)} of {everything} points{seed}, {len(failed)} failed; storage calls: {calls}; {time.time() - began:.0f} s")
    sys.exit(1 if failed or not points else 0)


if __name__ == "__main__":
    main()
