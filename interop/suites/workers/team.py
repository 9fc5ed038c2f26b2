"""The hosts of a team that signs by workers."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from clients import PythonTuf
from programs import PUBLISH
from web import Gateway


def until(condition, what, seconds=40):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class Host:
    """One machine: a home with a config and the keys that it holds."""

    def __init__(self, home, name):
        self.home, self.name, self.processes = home, name, []
        (home / "keys").mkdir(parents=True)
        self.public = json.loads(self.publish("key", "new", "keys/identity.pem", "--no-passphrase", "--json"))["public"]

    def run(self, *arguments, env=None, timeout=120):
        command = [PUBLISH, *map(str, arguments)]
        return subprocess.run(command, cwd=self.home, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def publish(self, *arguments, **kwargs):
        done = self.run(*arguments, **kwargs)
        assert done.returncode == 0, f"{self.name}: {arguments} exited with code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, code, words, *arguments, **kwargs):
        done = self.run(*arguments, **kwargs)
        assert done.returncode == code and words in done.stderr, f"{arguments} exited with code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def start(self, *arguments):
        log = open(self.home / "log", "a")
        process = subprocess.Popen([PUBLISH, *arguments, "--json"], cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def events(self, event=None):
        lines = (self.home / "log").read_text().splitlines() if (self.home / "log").exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in found if event in (None, line.get("event"))]


class Team:
    """A repository with a worker for each role on a host of its own, callers, and the administrator who made it."""

    ROLES = ["targets", "snapshot", "timestamp"]

    def __init__(self, directory, place, rabbitmq, broker=None, more=""):
        self.directory, self.place, self.rabbitmq = Path(directory), place, rabbitmq
        self.broker, self.more = broker or rabbitmq.plain, more
        admin = self.directory / "admin"
        admin.mkdir()
        (admin / "publish.yaml").write_text("name: acme\n" + place.config("repo"))
        done = subprocess.run([PUBLISH, "init", "--no-passphrase", "--json"], cwd=admin, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        self.root = (admin / "keys/1.root.json").read_bytes()
        self.hosts = {name: Host(self.directory / name, name) for name in [*self.ROLES, "standby", "ci", "monitor"]}
        for name, host in self.hosts.items():
            (host.home / "keys/1.root.json").write_bytes(self.root)
            if name in self.ROLES:
                shutil.move(admin / f"keys/{name}.pem", host.home / "keys")
        shutil.copy(self.hosts["targets"].home / "keys/targets.pem", self.hosts["standby"].home / "keys")
        shutil.move(admin / "keys/openpgp.asc", self.hosts["ci"].home / "keys")
        certificate = subprocess.run(["gpg", "--batch", "--show-keys", self.hosts["ci"].home / "keys/openpgp.asc"], capture_output=True, text=True)
        assert certificate.returncode == 0, certificate.stderr
        for name in ["targets", "standby"]:
            shutil.copy(self.hosts["ci"].home / "keys/openpgp.asc", self.hosts[name].home / "certificate.asc")
        for name in self.hosts:
            self.configure(name)

    def configure(self, name, patience=60, **changes):
        host = self.hosts[name]
        senders = {
            "ci": {"key": self.hosts["ci"].public, "prefixes": ["releases/", "signatures/", "openpgp/", "channels/", "yanked/", "packages/"], "may": ["publish", "remove", "refresh", "bins"]},
            "targets": {"key": self.hosts["targets"].public, "may": ["refresh"]},
            "standby": {"key": self.hosts["standby"].public, "may": ["refresh"]},
            "monitor": {"key": self.hosts["monitor"].public, "prefixes": ["packages/"], "may": ["publish", "refresh"]},
        }
        config = {"name": name, "state": str(self.directory / "shared"), "patience": patience, "senders": senders, **changes}
        if name in ("targets", "standby"):
            config["certificates"] = ["certificate.asc"]
        # JSON is YAML.
        monitor = {"drop_box": str(self.directory / "box"), "prefix": "packages", "scan": 0.5, "refresh": 2}
        (host.home / "publish.yaml").write_text(f"name: acme\n{self.place.config('repo')}broker: {self.broker}\n{self.more}workers: {json.dumps(config)}\nmonitor: {json.dumps(monitor)}\n")
        (self.directory / "box").mkdir(exist_ok=True)

    def upload(self, name, files):
        """What a pipeline does that holds no credential: fill a directory, then rename it."""
        box = self.directory / "box"
        (box / f"tuf_tmp_{name}").mkdir()
        for path, content in files.items():
            (box / f"tuf_tmp_{name}" / path).write_bytes(content)
        (box / f"tuf_tmp_{name}").rename(box / f"tuf_ready_{name}")

    def dropped(self):
        return sorted(path.name for path in (self.directory / "box").iterdir() if not path.name.startswith("."))

    def start(self, *roles):
        for role in roles or self.ROLES:
            self.hosts[role].start("worker", role)
            until(lambda: self.hosts[role].events("ready"), f"the {role} worker is ready")

    def client(self, name="client"):
        """A new user of python-tuf, and the web server from which they read."""
        gateway = Gateway(self.place, "repo")
        return PythonTuf(gateway.url, self.root, self.directory / name), gateway

    @property
    def ci(self):
        return self.hosts["ci"]

    def package(self, number, content=None, host=None):
        path = (host or self.ci).home / f"packages/p{number}.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content or f"package {number}")
        return path

    def stop(self):
        for host in self.hosts.values():
            for process in host.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
