"""Scenarios for `publish ci` and action.yml, on runners like the hosted ones (hosted.py) and an S3 store. Started by `interop/ci`."""

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import boto3
import scenarios
from botocore.config import Config
from clients import PythonTuf, Trdl
from hosted import GitHub, GitLab, at_once, git

PUBLISH, CEPH, CACHE = os.environ["PUBLISH"], os.environ["STORES_S3_ENDPOINT"], Path(os.environ["INTEROP_CACHE"])
ROOT = Path(__file__).resolve().parent.parent
PASSPHRASE = "test-only-passphrase"
TYPED = {"PUBLISH_PASSPHRASE": PASSPHRASE, "AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}


def s3():
    settings = Config(s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=CEPH, region_name="us-east-1", config=settings, aws_access_key_id="testkey", aws_secret_access_key="testsecret")


def bucket(name):
    s3().create_bucket(Bucket=name)
    statement = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}
    s3().put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@functools.cache
def program():
    """The program as jobs install it: the URL of an archive, and its SHA-256."""
    directory = tempfile.TemporaryDirectory()
    archive = Path(directory.name, "publish-0.1.0-linux-amd64.tar.gz")
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(PUBLISH, "publish-0.1.0-linux-amd64/bin/publish")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=directory.name))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.keep = directory
    return f"http://127.0.0.1:{server.server_port}/{archive.name}", hashlib.sha256(archive.read_bytes()).hexdigest(), server


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

    def __init__(self, name):
        self.keep = tempfile.TemporaryDirectory()
        self.home = Path(self.keep.name)
        self.name, self.origin, self.keys = name, self.home / "acme", self.home / "engineer"
        bucket(name)
        self.url = f"{CEPH}/{name}/acme"
        self.keys.mkdir()
        (self.keys / "publish.yaml").write_text(
            f"name: acme\nrepo: s3://{name}/acme\npublic_url: {self.url}\nstore:\n  endpoint: {CEPH}\n  conditions: enforced\n  etag_quotes: strip\n"
        )
        self.publish("init", env={"PUBLISH_PASSPHRASE": PASSPHRASE})
        self.pinned = (self.keys / "keys/1.root.json").read_bytes()
        self.origin.mkdir()
        git(self.origin, "init", "--quiet", "-b", "main")
        build = "dist:\n\tmkdir -p dist/any-any/bin dist/linux-amd64/bin\n\tprintf '#!/bin/sh\\necho acme %s\\n' \"$$(cat VERSION)\" | tee dist/any-any/bin/acme > dist/linux-amd64/bin/acme\n"
        self.commit("start", {"Makefile": build, "VERSION": "1.0.0\n", ".gitignore": "dist\n"})

    def publish(self, *arguments, env=None, code=0, cwd=None):
        result = subprocess.run([PUBLISH, *arguments], cwd=cwd or self.keys, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300)
        assert result.returncode == code, f"{arguments} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
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
        url, sha256, _ = program()
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
        return {entry["Key"]: entry["ETag"] for entry in s3().list_objects_v2(Bucket=self.name)["Contents"]}

    def trdl(self, name):
        return Trdl(self.home / f"trdl-{name}").add(self.url, self.pinned)

    def status(self):
        return json.loads(self.publish("status", "--json"))["status"]

    def expects(self, *versions, channel):
        released = {release["version"] for release in self.status()["releases"]}
        assert released == set(versions), released
        assert self.trdl(f"{channel}-{len(versions)}").version() == channel
        PythonTuf(self.url, self.pinned, self.home / f"python-{channel}-{len(versions)}").reads()
        self.publish("verify")


def all_succeed(results, *names):
    assert sorted(name for name, result in results.items() if result.ok is not None) == sorted(names), list(results)
    for name in names:
        results[name].succeeds()


def on_github(name, *arguments):
    project = Project(name)
    stored = project.set_up("github", *arguments)
    forge = GitHub(project.origin, {name: value for name, value in stored["all"].items() if name.startswith("PUBLISH_")}, {"acme/publish": ROOT / "action.yml"})
    forge.secrets = {name: value for name, value in stored["all"].items() if name.startswith("PLAN_")}
    forge.environments["publish"] = stored["publish"]
    return project, forge


def on_gitlab(name):
    project = Project(name)
    stored = project.set_up("gitlab")
    forge = GitLab(project.origin)
    scopes = {"all": "*", "publish": "publish", "publish-plan": "publish-plan"}
    forge.variables = [(name, value, scopes[scope], scope == "publish") for scope, entries in stored.items() for name, value in entries.items()]
    return project, forge


def the_files_are_accepted():
    project = Project("accepted")
    url, sha256, _ = program()
    config = project.keys / "publish.yaml"
    checker = [sys.executable, "-m", "check_jsonschema"]
    for options in [[], ["--url", url, "--sha256", sha256, "--build", "set -e\nmake dist\n# 'quotes' \"and\" : colons"]]:
        project.publish("ci", "github", "--config", config, "--force", *options, cwd=project.origin)
        project.publish("ci", "gitlab", "--config", config, "--force", *options, cwd=project.origin)
        shutil.copy(ROOT / "action.yml", project.origin)
        workflows = sorted((project.origin / ".github/workflows").glob("*.yml"))
        assert len(workflows) == 5
        # A workflow that uses the action lets actionlint check its inputs too.
        user = project.origin / ".github/workflows/uses-the-action.yml"
        user.write_text(action_workflow("./", "release").replace("# inputs", "git-tag: ${{ github.ref_name }}"))
        for command in [
            [CACHE / "actionlint", "-oneline", *workflows, user],
            [*checker, "--builtin-schema", "vendor.github-workflows", *workflows],
            [*checker, "--builtin-schema", "vendor.github-actions", ROOT / "action.yml"],
            [*checker, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", ".gitlab-ci.yml", ".gitlab/publish.gitlab-ci.yml"],
        ]:
            result = subprocess.run([str(part) for part in command], cwd=project.origin, capture_output=True, text=True)
            assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        user.unlink()
        assert project.publish("ci", "github", "--config", config, *options, cwd=project.origin).startswith("All files are written already")


def action_workflow(action, command, extra=""):
    secrets = ["PUBLISH_TARGETS_KEY", "PUBLISH_SNAPSHOT_KEY", "PUBLISH_TIMESTAMP_KEY", "PUBLISH_OPENPGP_KEY", "PUBLISH_PASSPHRASE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    env = "\n".join(f"          {name}: ${{{{ secrets.{name} }}}}" for name in secrets)
    return f"""name: with the action
on: {{push: {{tags: ["v*"]}}, workflow_dispatch: }}
permissions: {{contents: read}}
defaults: {{run: {{shell: bash}}}}
jobs:
  {command}:
    runs-on: ubuntu-24.04
    environment: publish
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd
        with: {{persist-credentials: false}}
      - run: make dist
      - uses: {action}
        with:
          url: ${{{{ vars.PUBLISH_URL }}}}
          sha256: ${{{{ vars.PUBLISH_SHA256 }}}}
          # inputs
        env:
{env}
{extra}"""


def github_publishes():
    project, forge = on_github("github")
    project.tag("1.0.0")
    all_succeed(forge.push_tag("v1.0.0"), "publish-release/build", "publish-release/release")
    project.commit("channels", project.channels("1.0.0"))
    all_succeed(forge.push(), "publish-channels/channels")
    project.expects("1.0.0", channel="1.0.0")
    # Three machines at once, two of them with releases.
    for version in ["1.1.0", "1.2.0"]:
        project.tag(version)
    project.commit("channels", project.channels("1.0.0"))
    first, second, third = at_once(
        lambda: forge.push_tag("v1.1.0"), lambda: forge.push_tag("v1.2.0"), lambda: forge.schedule("17 * * * *")
    )
    all_succeed({**first}, "publish-release/build", "publish-release/release")
    all_succeed({**second}, "publish-release/build", "publish-release/release")
    all_succeed(third, "publish-refresh/refresh")
    # The plan is one comment, however often the branch is pushed.
    for version in ["1.1.0", "1.2.0"]:
        project.commit("move", project.channels(version), branch="move")
        project.back()
        results = forge.pull_request("move", 12)
        all_succeed(results, "publish-plan/plan")
        (comment,) = forge.posted[12]
        assert comment["body"].startswith("<!-- publish plan -->") and version in comment["body"] and "0/stable" in comment["body"], comment
        assert version in results["publish-plan/plan"].summary
    git(project.origin, "merge", "--quiet", "move")
    all_succeed(forge.push(), "publish-channels/channels")
    results = forge.schedule("43 3 * * *")
    all_succeed(results, "publish-nightly/verify")
    # Fresh machines have no state file; nothing else is worth a line.
    log = [line for line in results["publish-nightly/verify"].output.splitlines() if ".publish-state.json" not in line]
    assert log == [], log
    project.expects("1.0.0", "1.1.0", "1.2.0", channel="1.2.0")
    # A tag again, as after a job that was killed: nothing changes.
    before = project.objects()
    all_succeed(forge.push_tag("v1.2.0"), "publish-release/build", "publish-release/release")
    assert project.objects() == before


def gitlab_publishes():
    project, forge = on_gitlab("gitlab")
    project.tag("1.0.0")
    all_succeed(forge.push_tag("v1.0.0"), "publish:build", "publish:release")
    project.commit("channels", project.channels("1.0.0"))
    all_succeed(forge.push(), "publish:channels")
    project.expects("1.0.0", channel="1.0.0")
    for version in ["1.1.0", "1.2.0"]:
        project.tag(version)
    first, second, third = at_once(lambda: forge.push_tag("v1.1.0"), lambda: forge.push_tag("v1.2.0"), lambda: forge.schedule("refresh"))
    all_succeed(first, "publish:build", "publish:release")
    all_succeed(second, "publish:build", "publish:release")
    all_succeed(third, "publish:refresh")
    project.commit("move", project.channels("1.2.0"), branch="move")
    project.back()
    all_succeed(forge.merge_request("move", 3), "publish:plan")
    ((path, body),) = forge.notes
    assert path == "/api/v4/projects/7/merge_requests/3/notes" and "1.2.0" in body and "0/stable" in body, (path, body)
    git(project.origin, "merge", "--quiet", "move")
    all_succeed(forge.push(), "publish:channels")
    all_succeed(forge.schedule("nightly"), "publish:nightly")
    project.expects("1.0.0", "1.1.0", "1.2.0", channel="1.2.0")


def pull_requests_from_forks_get_a_notice():
    project, forge = on_github("fork")
    project.tag("1.0.0")
    all_succeed(forge.push_tag("v1.0.0"), "publish-release/build", "publish-release/release")
    project.commit("theirs", project.channels("1.0.0"), branch="theirs")
    project.back()
    before = project.objects()
    # Nor its variables, perhaps.
    variables, forge.variables = forge.variables, {}
    forge.pull_request("theirs", 4, fork=True)["publish-plan/plan"].succeeds().says("::notice", "pull requests from forks", "publish channels --dry-run")
    assert forge.posted == {} and project.objects() == before
    # The same without the secrets that read.
    forge.secrets, forge.variables = {}, variables
    forge.pull_request("theirs", 4)["publish-plan/plan"].succeeds().says("::notice", "PLAN_AWS_ACCESS_KEY_ID")
    assert forge.posted == {}


def merge_requests_from_forks_get_a_notice():
    project, forge = on_gitlab("lab-fork")
    project.commit("theirs", project.channels("1.0.0"), branch="theirs")
    project.back()
    # A pipeline of the fork has the fork's variables: none of ours.
    ours, forge.variables = forge.variables, []
    forge.merge_request("theirs", 4)["publish:plan"].succeeds().says("no credentials", "merge requests from forks")
    forge.variables = [entry for entry in ours if entry[2] == "*"]
    forge.merge_request("theirs", 4)["publish:plan"].succeeds().says("store AWS_ACCESS_KEY_ID with the scope publish-plan")
    forge.variables += [("AWS_ACCESS_KEY_ID", "testkey", "publish-plan", False), ("AWS_SECRET_ACCESS_KEY", "testsecret", "publish-plan", False)]
    forge.merge_request("theirs", 4)["publish:plan"].fails("1.0.0").says("PUBLISH_GITLAB_TOKEN")
    assert forge.notes == []


def a_plan_that_is_refused_is_a_comment_too():
    project, forge = on_github("refused")
    project.commit("early", {"trdl_channels.yaml": project.channels("9.9.9")["trdl_channels.yaml"] + "# ``` @everyone <script>\n"}, branch="early")
    project.back()
    forge.pull_request("early", 5)["publish-plan/plan"].fails("9.9.9")
    (comment,) = forge.posted[5]
    assert "cannot be published" in comment["body"] and "\n    error:" in comment["body"] and "9.9.9" in comment["body"], comment


def broken_secrets_are_named_and_nothing_is_written():
    project, forge = on_github("secrets")
    project.tag("1.0.0")
    before = project.objects()
    good = forge.environments["publish"]
    lines = good["PUBLISH_OPENPGP_KEY"].splitlines()
    headers = "\n".join([lines[0], "Comment: ours", *lines[1:]])
    for changed, words in [
        ({"PUBLISH_TARGETS_KEY": ""}, ["the variable PUBLISH_TARGETS_KEY is empty", "CI systems pass an empty variable"]),
        ({"PUBLISH_OPENPGP_KEY": ""}, ["the variable PUBLISH_OPENPGP_KEY is empty"]),
        ({"PUBLISH_OPENPGP_KEY": headers.replace("\n", " ")}, ["the variable PUBLISH_OPENPGP_KEY has lost its line breaks", "base64"]),
        ({"PUBLISH_TARGETS_KEY": good["PUBLISH_TARGETS_KEY"][:60]}, ["the variable PUBLISH_TARGETS_KEY", "has no end"]),
        ({"PUBLISH_TARGETS_KEY": "hello"}, ["the variable PUBLISH_TARGETS_KEY is not a private key"]),
        ({"PUBLISH_SNAPSHOT_KEY": good["PUBLISH_TARGETS_KEY"]}, ["snapshot"]),
        ({"PUBLISH_PASSPHRASE": ""}, ["PUBLISH_PASSPHRASE"]),
        ({"PUBLISH_PASSPHRASE": "another"}, ["wrong passphrase"]),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, ["AWS_ACCESS_KEY_ID"]),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, ["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"]),
        ({name: "" for name in good}, ["AWS_ACCESS_KEY_ID"]),
    ]:
        forge.environments["publish"] = {**good, **changed}
        forge.push_tag("v1.0.0")["publish-release/release"].fails(*words)
        after = {key for key in project.objects() if not key.startswith("acme/targets/")}
        assert after == {key for key in before if not key.startswith("acme/targets/")}, f"{changed.keys()}: metadata was written"
        assert project.status()["releases"] == [], changed
    # A secret that lost its line breaks, and one that is base64, are read as they were.
    forge.environments["publish"] = {**good, "PUBLISH_TARGETS_KEY": good["PUBLISH_TARGETS_KEY"].replace("\n", " "), "PUBLISH_SNAPSHOT_KEY": good["PUBLISH_SNAPSHOT_KEY"].replace("\n", "\\n")}
    forge.push_tag("v1.0.0")["publish-release/release"].succeeds()
    # A program with other bytes is not run.
    forge.variables = {**forge.variables, "PUBLISH_SHA256": "0" * 64}
    forge.schedule("17 * * * *")["publish-refresh/refresh"].fails("publish.tar.gz: FAILED")


def a_refresh_without_its_keys_fails():
    project, forge = on_gitlab("unkeyed")
    forge.variables = [entry for entry in forge.variables if entry[0] != "PUBLISH_SNAPSHOT_KEY"]
    forge.schedule("refresh")["publish:refresh"].fails("the variable PUBLISH_SNAPSHOT_KEY is not set")


def the_action_publishes():
    project, forge = on_github("action")
    shutil.rmtree(project.origin / ".github")
    project.commit("action", {})
    (project.origin / ".github/workflows").mkdir(parents=True)
    text = action_workflow("acme/publish@v1", "release").replace("# inputs", "git-tag: ${{ github.ref }}\n          retry: true\n          maxDelay: 6")
    project.commit("action", {".github/workflows/release.yml": text})
    project.tag("1.0.0")
    all_succeed(forge.push_tag("v1.0.0"), "release/release")
    assert [release["version"] for release in project.status()["releases"]] == ["1.0.0"]
    project.commit("channels", {**project.channels("1.0.0"), ".github/workflows/release.yml": action_workflow("acme/publish@v1", "channels")})
    git(project.origin, "tag", "v1.0.1-channels")
    all_succeed(forge.push_tag("v1.0.1-channels"), "release/channels")
    project.expects("1.0.0", channel="1.0.0")
    # Retries are for trouble with the store only.
    config = (project.origin / "publish.ci.yaml").read_text()
    project.commit("no store", {".github/workflows/release.yml": text, "publish.ci.yaml": config.replace(CEPH, "http://127.0.0.1:9")})
    git(project.origin, "tag", "v1.1.0")
    forge.push_tag("v1.1.0")["release/release"].fails("Trying again in 5 seconds.", "check the network")
    project.commit("a word", {".github/workflows/release.yml": text.replace("retry: true", "command: publish"), "publish.ci.yaml": config})
    git(project.origin, "tag", "v1.1.1")
    forge.push_tag("v1.1.1")["release/release"].fails("it is release, channels, refresh or install")


scenarios.run(
    "ci",
    [
        the_files_are_accepted,
        github_publishes,
        gitlab_publishes,
        pull_requests_from_forks_get_a_notice,
        merge_requests_from_forks_get_a_notice,
        a_plan_that_is_refused_is_a_comment_too,
        broken_secrets_are_named_and_nothing_is_written,
        a_refresh_without_its_keys_fails,
        the_action_publishes,
    ],
)
