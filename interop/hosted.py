"""Runs workflows of GitHub and pipelines of GitLab as their hosted runners do: each job in a fresh clone, with an empty home,
without a terminal, and with secrets as variables only. It knows what the files of `publish ci` use, and fails on anything else."""

import concurrent.futures
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

import yaml

BOT = "github-actions[bot]"


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


class Expression:
    """The part of GitHub's expressions that the files use."""

    TOKENS = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|!|\(|\)|,|[A-Za-z_][\w.-]*)")

    def __init__(self, text, context, state):
        self.tokens, self.context, self.state = [], context, state
        at = 0
        while at < len(text.rstrip()):
            match = self.TOKENS.match(text, at)
            assert match, f"unknown expression: {text[at:]}"
            self.tokens.append(match[1])
            at = match.end()

    def value(self):
        value = self.either()
        assert not self.tokens, f"left over: {self.tokens}"
        return value

    def take(self, *wanted):
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in wanted else None

    def either(self):
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value or other
        return value

    def both(self):
        value = self.compared()
        while self.take("&&"):
            other = self.compared()
            value = value and other
        return value

    def compared(self):
        value = self.single()
        operator = self.take("==", "!=")
        return value if not operator else (value == self.single()) == (operator == "==")

    def single(self):
        token = self.tokens.pop(0)
        if token == "(":
            value = self.either()
            assert self.take(")")
            return value
        if token == "!":
            return not self.single()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self.take("("):
            arguments = []
            while not self.take(")"):
                arguments.append(self.either())
                self.take(",")
            if token == "format":
                return re.sub(r"\{(\d+)\}", lambda match: str(arguments[1 + int(match[1])]), arguments[0])
            return {"always": lambda: True, "success": lambda: self.state == "success", "failure": lambda: self.state == "failure"}[token]()
        value = self.context
        for part in token.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return value


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

        class Api(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                status, document = owner.api(self.command, self.path, self.headers.get("Authorization", ""), body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            do_GET = do_POST = do_PATCH = answer

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        gh = Path(self.tools.name, "gh")
        gh.write_text(f"#!{sys.executable}\nAPI = 'http://127.0.0.1:{self.server.server_port}/'\n" + FAKE_GH)
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


class GitLab:
    """A project on GitLab. `variables` are those of its settings, as (name, value, scope, protected); `notes` are the comments
    of merge requests, as (path, body)."""

    def __init__(self, origin):
        self.origin, self.variables, self.notes = origin, [], []
        self.token = "glpat-test-only-0000"
        owner = self

        class Api(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                allowed = self.headers.get("PRIVATE-TOKEN") == owner.token
                if allowed:
                    owner.notes.append((self.path, body["body"][0]))
                self.send_response(201 if allowed else 401)
                self.end_headers()
                self.wfile.write(b"{}")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def push_tag(self, tag):
        return self.pipeline({"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": tag}, tag, protected=True)

    def push(self):
        changed = git(self.origin, "diff-tree", "--no-commit-id", "--name-only", "-r", "main").splitlines()
        return self.pipeline({"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}, "main", True, changed)

    def schedule(self, job):
        return self.pipeline({"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main", "PUBLISH_JOB": job}, "main", True)

    def merge_request(self, branch, number, fork=False):
        changed = git(self.origin, "diff", "--name-only", f"main...{branch}").splitlines()
        variables = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": str(number)}
        return self.pipeline(variables, branch, False, changed, fork)

    def pipeline(self, variables, ref, protected, changed=(), fork=False):
        predefined = {
            "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_REF_NAME": ref, "CI_API_V4_URL": f"http://127.0.0.1:{self.server.server_port}/api/v4", "CI_PROJECT_ID": "7",
            **variables,
        }
        with tempfile.TemporaryDirectory() as directory:
            git(directory, "clone", "--quiet", str(self.origin), "c")
            git(f"{directory}/c", "checkout", "--quiet", "--detach", git(self.origin, "rev-parse", ref))
            top = load(f"{directory}/c/.gitlab-ci.yml")
            content = {}
            for included in top.pop("include"):
                content.update(load(f"{directory}/c/{included['local']}"))
            content.update(top)
        jobs = {name: self.extended(content, name) for name in content if not name.startswith(".")}
        jobs = {name: job for name, job in jobs.items() if any(self.applies(rule, predefined, changed) for rule in job["rules"])}
        results, artifacts = {}, {}
        for name, job in sorted(jobs.items(), key=lambda entry: ["build", "test", "deploy"].index(entry[1].get("stage", "test"))):
            result = results[name] = Result(name)
            if all(results[needed].ok for needed in job.get("needs", [])):
                self.job(result, job, predefined, ref, protected, fork, artifacts)
        return results

    @classmethod
    def extended(cls, content, name):
        job = content[name]
        if "extends" not in job:
            return job
        merge = lambda base, over: {**base, **{key: merge(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value for key, value in over.items()}}
        return merge(cls.extended(content, job["extends"]), job)

    @staticmethod
    def applies(rule, variables, changed):
        assert set(rule) <= {"if", "changes"}, rule
        value = lambda word: variables.get(word[1:], "") if word.startswith("$") else word.strip('"')
        for part in rule["if"].split("&&"):
            left, operator, right = part.split(maxsplit=2)
            right = right.strip()
            if operator == "=~":
                if not re.search(right.strip("/"), value(left)):
                    return False
            elif operator != "==" or value(left) != value(right):
                return False
        return "changes" not in rule or any(path in rule["changes"] for path in changed)

    def job(self, result, job, predefined, ref, protected, fork, artifacts):
        scope = job.get("environment", {}).get("name", "")
        given = lambda entry: not fork and entry[2] in ("*", scope) and (protected or not entry[3])
        secrets = {entry[0]: entry[1] for entry in self.variables if given(entry)}
        machine = Machine(self.origin, git(self.origin, "rev-parse", ref))
        for needed in job.get("needs", []):
            for path, copy in artifacts[needed].items():
                shutil.copytree(copy.name, machine.work / path, dirs_exist_ok=True)
        lines = [*job.get("before_script", []), *job["script"]]
        env = {**job.get("variables", {}), **secrets, **predefined}
        code, result.output = machine.bash("set -eo pipefail\n" + "\n".join(lines), env, [])
        result.ok = code == 0
        for name, value, *_ in self.variables:
            assert value not in result.output or name in ("PUBLISH_URL", "PUBLISH_SHA256"), f"{name} is in the log of {result.name}"
        if result.ok and "artifacts" in job:
            artifacts[result.name] = {}
            for path in job["artifacts"]["paths"]:
                artifacts[result.name][path] = tempfile.TemporaryDirectory()
                shutil.copytree(machine.work / path, artifacts[result.name][path].name, dirs_exist_ok=True)


def at_once(*calls):
    """Starts all of them at the same time and gives their results."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
