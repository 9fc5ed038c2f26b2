"""Runs pipelines of GitLab as its hosted runners do, with secrets as variables only. It knows what the files of `publish ci`
use, and fails on anything else."""

import re
import shutil
import tempfile
import urllib.parse

from suites.ci.machine import Machine, Result, git, load
from web import Handler, Server


class GitLab:
    """A project on GitLab. `variables` are those of its settings, as (name, value, scope, protected); `notes` are the comments
    of merge requests, as (path, body)."""

    def __init__(self, origin):
        self.origin, self.variables, self.notes = origin, [], []
        self.token = "glpat-test-only-0000"
        owner = self

        class Api(Handler):
            def do_POST(self):
                body = urllib.parse.parse_qs(self.body().decode())
                allowed = self.headers.get("PRIVATE-TOKEN") == owner.token
                if allowed:
                    owner.notes.append((self.path, body["body"][0]))
                self.answer(201 if allowed else 401, b"{}")

        self.server = Server(Api)

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
            "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_REF_NAME": ref, "CI_API_V4_URL": f"{self.server.url}/api/v4", "CI_PROJECT_ID": "7",
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
