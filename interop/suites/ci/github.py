"""Runs workflows of GitHub as its hosted runners do, with secrets as variables only. It knows what the files of `publish ci`
use, and fails on anything else."""

import json
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from suites.ci.expression import Expression
from suites.ci.machine import Machine, Result, git, load
from web import Handler, Server

BOT = "github-actions[bot]"
# What the files use of GitHub's command line: `gh api` with files as fields, and --jq with the real jq.
FAKE_GH = '''
import json, os, subprocess, sys, urllib.request
arguments = sys.argv[1:]
assert arguments.pop(0) == "api"
method, fields, jq, path, silent = "GET", {}, None, None, False
while arguments:
    argument = arguments.pop(0)
    if argument == "--method": method = arguments.pop(0)
    elif argument == "--jq": jq = arguments.pop(0)
    elif argument == "--silent": silent = True
    elif argument == "--paginate": pass
    elif argument == "-F":
        name, value = arguments.pop(0).split("=", 1)
        fields[name] = open(value[1:]).read() if value.startswith("@") else value
    else:
        assert path is None and not argument.startswith("-"), argument
        path = argument
request = urllib.request.Request(API + path, method=method, data=json.dumps(fields).encode() if fields else None)
request.add_header("Authorization", "token " + os.environ["GH_TOKEN"])
answer = urllib.request.urlopen(request).read()
if jq:
    sys.exit(subprocess.run(["jq", "-r", jq], input=answer).returncode)
if not silent:
    sys.stdout.buffer.write(answer)
'''


class GitHub:
    """A repository on GitHub with its secrets. `posted` are the comments of pull requests, by number."""

    def __init__(self, origin, variables, actions=None):
        self.origin, self.variables = origin, variables
        self.secrets, self.environments = {}, {}
        self.actions = actions or {}
        self.posted = {}
        self.lock = threading.Lock()
        self.tools = tempfile.TemporaryDirectory()
        # `gh` on the runner: its API is this process.
        owner = self

        class Api(Handler):
            def call(self):
                status, document = owner.api(self.command, self.path, self.headers.get("Authorization", ""), json.loads(self.body() or b"{}"))
                self.answer(status, json.dumps(document).encode())

            do_GET = do_POST = do_PATCH = call

        self.server = Server(Api)
        gh = Path(self.tools.name, "gh")
        gh.write_text(f"#!{sys.executable}\nAPI = '{self.server.url}/'\n" + FAKE_GH)
        gh.chmod(0o755)

    def api(self, method, path, authorization, body):
        if authorization != "token job-token":
            return 403, {"message": "Resource not accessible by integration"}
        match = re.fullmatch(r"/repos/acme/acme/issues/(comments/)?(\d+)(/comments)?", path)
        assert match, path
        with self.lock:
            if method == "PATCH":
                comment = next(comment for comments in self.posted.values() for comment in comments if comment["id"] == int(match[2]))
                comment["body"] = body["body"]
                return 200, comment
            comments = self.posted.setdefault(int(match[2]), [])
            if method == "GET":
                return 200, comments
            comments.append({"id": 100 + sum(map(len, self.posted.values())), "user": {"login": BOT}, "body": body["body"]})
            return 201, comments[-1]

    # Events. Each gives the results of the jobs that ran, by `workflow/job`.

    def push_tag(self, tag):
        return self.event("push", f"refs/tags/{tag}", {})

    def push(self, branch="main"):
        changed = git(self.origin, "diff-tree", "--no-commit-id", "--name-only", "-r", branch).splitlines()
        return self.event("push", f"refs/heads/{branch}", {}, changed)

    def schedule(self, cron):
        return self.event("schedule", "refs/heads/main", {"schedule": cron})

    def pull_request(self, branch, number, fork=False):
        changed = git(self.origin, "diff", "--name-only", f"main...{branch}").splitlines()
        head = {"repo": {"full_name": "stranger/acme" if fork else "acme/acme"}}
        event = {"number": str(number), "pull_request": {"number": str(number), "head": head}}
        return self.event("pull_request", f"refs/heads/{branch}", event, changed, fork)

    def event(self, name, ref, event, changed=(), fork=False):
        event = {"repository": {"default_branch": "main"}, **event}
        short = ref.split("/", 2)[2]
        sha = git(self.origin, "rev-parse", short)
        github = {"event_name": name, "ref": ref, "ref_name": short, "sha": sha, "repository": "acme/acme", "event": event, "token": "job-token"}
        results = {}
        with tempfile.TemporaryDirectory() as directory:
            git(directory, "clone", "--quiet", str(self.origin), "c")
            git(f"{directory}/c", "checkout", "--quiet", "--detach", sha)
            workflows = {path.stem: load(path) for path in sorted(Path(directory, "c/.github/workflows").glob("*.yml"))}
        for workflow, content in workflows.items():
            if self.triggered(content["on"], name, ref, event, changed):
                results.update(self.workflow(workflow, content, github, fork))
        return results

    @staticmethod
    def triggered(on, name, ref, event, changed):
        if name not in on:
            return False
        filters = on[name] or {}
        if name == "schedule":
            return any(entry["cron"] == event["schedule"] for entry in filters)
        kind, short = ref.split("/", 2)[1:]
        if name == "push" and ("tags" in filters or "branches" in filters):
            patterns = filters.get("tags" if kind == "tags" else "branches", [])
            glob = lambda pattern: re.sub(r"\\\*(\\\*)?", ".*", re.escape(pattern).replace(r"\[", "[").replace(r"\]", "]").replace(r"\-", "-"))
            if not any(re.fullmatch(glob(pattern), short) for pattern in patterns):
                return False
        return "paths" not in filters or kind == "tags" or any(path in filters["paths"] for path in changed)

    def workflow(self, workflow, content, github, fork):
        assert content["permissions"]["contents"] == "read", content["permissions"]
        results, artifacts = {}, {}
        jobs = dict(content["jobs"])
        while jobs:
            job, definition = next((job, definition) for job, definition in jobs.items() if definition.get("needs") not in jobs)
            del jobs[job]
            result = results[f"{workflow}/{job}"] = Result(f"{workflow}/{job}")
            needed = definition.get("needs")
            if needed and not results[f"{workflow}/{needed}"].ok:
                continue
            secrets = {} if fork else dict(self.secrets)
            environment = definition.get("environment")
            if environment and not fork:
                # Its branch policy: the default branch and version tags.
                assert github["ref"] == "refs/heads/main" or github["ref"].startswith("refs/tags/v"), f"{result.name} on {github['ref']}"
                secrets.update(self.environments[environment])
            context = {"github": github, "secrets": secrets, "vars": self.variables}
            if "if" in definition and not Expression(definition["if"], context, "success").value():
                continue
            self.job(result, content, definition, context, artifacts)
        return results

    def job(self, result, content, definition, context, artifacts):
        machine = Machine(self.origin, context["github"]["sha"], self.tools.name)
        shutil.rmtree(machine.work)
        machine.work.mkdir()
        context = {**context, "runner": {"temp": str(machine.root / "temp")}, "steps": {}}
        for name in ["path", "summary", "output"]:
            (machine.root / name).touch()
        state = "success"
        for step in definition["steps"]:
            if not self.wanted(step, context, state):
                continue
            code = self.step(result, machine, step, context, content["defaults"]["run"]["shell"], artifacts, {})
            state = "failure" if code else state
            outputs = dict(line.split("=", 1) for line in (machine.root / "output").read_text().splitlines())
            context["steps"].setdefault(step.get("id", ""), {"outputs": outputs})
            (machine.root / "output").write_text("")
        result.ok = state == "success"
        result.summary = (machine.root / "summary").read_text()
        for secret in context["secrets"].values():
            assert not secret.strip() or secret.strip() not in result.output, f"a secret is in the log of {result.name}"

    @staticmethod
    def wanted(step, context, state):
        condition = step.get("if", "success()")
        condition = condition if "always()" in condition or "failure()" in condition else f"success() && ({condition})"
        return Expression(condition, context, state).value()

    def step(self, result, machine, step, context, shell, artifacts, env):
        fill = lambda text: re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(Expression(match[1], context, "success").value()), text)
        env = {**env, **{name: fill(value) for name, value in step.get("env", {}).items()}}
        inputs = {name: fill(value) for name, value in step.get("with", {}).items()}
        if "run" in step:
            assert step.get("shell", shell) == "bash"
            github = context["github"]
            added = (machine.root / "path").read_text().split()
            variables = {
                "GITHUB_REF": github["ref"], "GITHUB_REF_NAME": github["ref_name"], "GITHUB_REPOSITORY": github["repository"], "GITHUB_ACTIONS": "true",
                "GITHUB_PATH": str(machine.root / "path"), "GITHUB_OUTPUT": str(machine.root / "output"), "GITHUB_STEP_SUMMARY": str(machine.root / "summary"), "RUNNER_TEMP": context["runner"]["temp"],
            }
            machine.path = [*reversed(added), self.tools.name]
            code, output = machine.bash(fill(step["run"]), {**variables, **env}, ["--noprofile", "--norc", "-eo", "pipefail"])
            result.output += output
            return code
        action, _, version = step["uses"].partition("@")
        if action in self.actions:
            definition = load(self.actions[action])
            given = {name: inputs.pop(name, entry.get("default", "")) for name, entry in definition["inputs"].items()}
            assert not inputs, f"unknown inputs: {inputs}"
            inner = {**context, "inputs": given, "secrets": {}}
            for inner_step in definition["runs"]["steps"]:
                assert "shell" in inner_step, "steps of an action name their shell"
                code = self.step(result, machine, inner_step, inner, None, artifacts, env)
                if code:
                    return code
            return 0
        assert re.fullmatch(r"[0-9a-f]{40}", version.split()[0]), f"{step['uses']} is not pinned by commit"
        if action == "actions/checkout":
            assert inputs["persist-credentials"] == "false"
            machine.clone(git(self.origin, "rev-parse", inputs["ref"]) if inputs.get("ref") else context["github"]["sha"])
        elif action == "actions/upload-artifact":
            source = machine.work / inputs["path"]
            if not source.is_dir():
                result.output += f"No files were found with the provided path: {inputs['path']}\n"
                return 1
            artifacts[inputs["name"]] = tempfile.TemporaryDirectory()
            shutil.copytree(source, artifacts[inputs["name"]].name, dirs_exist_ok=True)
        elif action == "actions/download-artifact":
            shutil.copytree(artifacts[inputs["name"]].name, inputs["path"], dirs_exist_ok=True)
        else:
            raise AssertionError(f"unknown action {action}")
        return 0
