"""Publishers of the tests of stores."""

import os
import subprocess
from pathlib import Path

from programs import PUBLISH


def publish(directory, *arguments, code=0):
    result = subprocess.run([PUBLISH, *arguments], cwd=directory, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, f"publish {arguments} exited with code {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def channels(directory, version):
    (directory / "trdl_channels.yaml").write_text(f'groups:\n- name: "0"\n  channels:\n  - {{name: stable, version: {version}}}\n')


def prepare(place, base, name):
    """A publisher in directory `base` with a repository `name`: three releases, one of them yanked, and a channel."""
    base.mkdir()
    for platform in ["any-any", "linux-amd64"]:
        tool = base / "dist" / platform / "bin/tool"
        tool.parent.mkdir(parents=True)
        tool.write_text(f"#!/bin/sh\necho {platform}\n")
    (base / "publish.yaml").write_text("name: acme\n" + place.config(name))
    place.remove(name)
    publish(base, "init", "--no-passphrase")
    for version in ["0.9.0", "1.0.0", "1.0.1"]:
        publish(base, "release", version, "--from", "dist")
    publish(base, "yank", "0.9.0", "--confirm", "0.9.0")
    channels(base, "1.0.0")
    publish(base, "channels")


class Publisher:
    """A publisher's directory with a build; `config` is its publish.yaml."""

    def __init__(self, directory, config):
        self.directory = Path(directory)
        self.write("dist/any-any/bin/tool", b"#!/bin/sh\necho tool\n")
        self.write("publish.yaml", config.encode())

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def config(self, text):
        self.write("publish.yaml", text.encode())

    def publish(self, *arguments, code=0, says=(), env=None, prefix=()):
        result = subprocess.run(
            [*prefix, PUBLISH, *arguments], cwd=self.directory, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == code, f"{arguments} exited with code {result.returncode}, not {code}\n{result.stdout}\n{result.stderr}"
        for words in says:
            assert words in result.stdout + result.stderr, f"`{words}` is not in\n{result.stdout}\n{result.stderr}"
        for secret in ["testsecret", os.environ["AZURE_STORAGE_ACCOUNT_KEY"]]:
            assert secret not in result.stdout + result.stderr, "a secret was printed"
        return result.stdout

    def daily_work(self):
        self.publish("init", "--no-passphrase")
        self.publish("release", "1.0.0", "--from", "dist")
        channels(self.directory, "1.0.0")
        self.publish("channels")
        self.publish("release", "1.0.1+fix1", "--from", "dist")
        channels(self.directory, "1.0.1+fix1")
        self.publish("channels")
        self.publish("yank", "1.0.0", "--confirm", "1.0.0")
        self.publish("refresh")
        self.publish("prune", "--confirm", "acme")
        self.publish("verify", says=["good: 0 errors"])
