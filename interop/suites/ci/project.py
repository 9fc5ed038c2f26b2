"""A project that publishes from CI, and the machine of its release engineer."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from clients import PythonTuf, Trdl, sha512
from places import public_bucket
from programs import PUBLISH
from suites.ci.machine import git

PASSPHRASE = "test-only-passphrase"
TYPED = {"PUBLISH_PASSPHRASE": PASSPHRASE, "AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}
# `gh` and `glab` on the machine of the person who sets the CI up: what is stored becomes a file.
FAKE_FORGE = """#!/bin/sh
set -eu
[ "$2" = set ] || exit 0
name=$3 scope=all protected=no
shift 3
while [ $# -gt 0 ]; do
    case $1 in --env | --scope) scope=$2; shift ;; --protected) protected=yes ;; --masked | --raw) ;; *) echo "unknown: $1" >&2; exit 2 ;; esac
    shift
done
mkdir -p "$STORED/$scope"
cat >"$STORED/$scope/$name"
"""


class Project:
    """A project's repository, and the machine of its release engineer, which alone has the keys."""

    def __init__(self, name, endpoint, program):
        self.keep = tempfile.TemporaryDirectory()
        self.home = Path(self.keep.name)
        self.name, self.origin, self.keys = name, self.home / "acme", self.home / "engineer"
        self.program, self.s3, self.url = program, public_bucket(endpoint, name), f"{endpoint}/{name}/acme"
        self.keys.mkdir()
        (self.keys / "publish.yaml").write_text(
            f"name: acme\nrepo: s3://{name}/acme\npublic_url: {self.url}\nstore:\n  endpoint: {endpoint}\n  conditions: enforced\n  etag_quotes: strip\n"
        )
        self.publish("init", env={"PUBLISH_PASSPHRASE": PASSPHRASE})
        self.pinned = (self.keys / "keys/1.root.json").read_bytes()
        self.origin.mkdir()
        git(self.origin, "init", "--quiet", "-b", "main")
        build = "dist:\n\tmkdir -p dist/any-any/bin dist/linux-amd64/bin\n\tprintf '#!/bin/sh\\necho acme %s\\n' \"$$(cat VERSION)\" | tee dist/any-any/bin/acme > dist/linux-amd64/bin/acme\n"
        self.commit("start", {"Makefile": build, "VERSION": "1.0.0\n", ".gitignore": "dist\n"})

    def publish(self, *arguments, env=None, code=0, cwd=None):
        result = subprocess.run([PUBLISH, *arguments], cwd=cwd or self.keys, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300)
        assert result.returncode == code, f"{arguments} exited with code {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def commit(self, message, files, branch="main"):
        git(self.origin, "checkout", "--quiet", "-B", branch)
        for path, text in files.items():
            (self.origin / path).write_text(text)
        git(self.origin, "add", "--all")
        git(self.origin, "commit", "--quiet", "--allow-empty", "-m", message)

    def back(self):
        git(self.origin, "checkout", "--quiet", "main")

    def set_up(self, forge, *arguments):
        """Runs `publish ci`, then each command that it prints, as a person would. Gives what was stored, by scope and name."""
        config = self.keys / "publish.yaml"
        plan = json.loads(self.publish("ci", forge, "--config", config, "--json", *arguments, cwd=self.origin))["plan"]
        tools, stored = self.home / f"tools-{forge}", self.home / f"stored-{forge}"
        tools.mkdir()
        for name in ["gh", "glab"]:
            (tools / name).write_text(FAKE_FORGE)
            (tools / name).chmod(0o755)
        url, sha256 = self.program
        typed = {**TYPED, **{f"PLAN_{name}": value for name, value in TYPED.items()}, "PUBLISH_URL": url, "PUBLISH_SHA256": sha256, "PUBLISH_GITLAB_TOKEN": "glpat-test-only-0000"}
        env = {"PATH": f"{tools}:{os.environ['PATH']}", "STORED": str(stored), "HOME": str(self.home)}
        for step in plan["setup"]:
            for line in step["lines"]:
                if not re.search(r"\bg(h|lab) ", line):
                    continue
                assert not any(value in line for value in typed.values()), f"a secret is on a command line: {line}"
                name = re.search(r"set (\w+)", line)
                # `read` ends at the line break that a person types.
                value = typed.get(name and name[1], "") + ("\n" if "read -rs" in line else "")
                subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=self.origin, env=env, input=value, text=True, check=True, capture_output=True)
        self.commit("ci", {})
        assert not any("root" in path.name.lower() for path in stored.rglob("*")), "the root key is in CI"
        for path in [self.origin / "publish.ci.yaml", *self.origin.rglob("*.yml")]:
            assert "root.pem" not in path.read_text(), path
        return {scope.name: {path.name: path.read_text() for path in scope.iterdir()} for scope in stored.iterdir()}

    def channels(self, version):
        points = "\n".join(f"  - name: {channel}\n    version: {version}" for channel in ["alpha", "beta", "ea", "stable", "rock-solid"])
        return {"trdl_channels.yaml": f'groups:\n- name: "0"\n  channels:\n{points}\n'}

    def tag(self, version):
        self.commit(version, {"VERSION": f"{version}\n"})
        git(self.origin, "tag", f"v{version}")

    def objects(self):
        return {entry["Key"]: entry["ETag"] for entry in self.s3.list_objects_v2(Bucket=self.name)["Contents"]}

    def trdl(self, name):
        return Trdl(self.home / f"trdl-{name}").add(self.url, sha512(self.pinned))

    def status(self):
        return json.loads(self.publish("status", "--json"))["status"]

    def expects(self, *versions, channel):
        released = {release["version"] for release in self.status()["releases"]}
        assert released == set(versions), released
        assert self.trdl(f"{channel}-{len(versions)}").version() == channel
        PythonTuf(self.url, self.pinned, self.home / f"python-{channel}-{len(versions)}").reads()
        self.publish("verify")
