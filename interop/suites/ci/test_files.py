"""The files of `publish ci` and action.yml are accepted by actionlint and by the schemas of GitHub and GitLab."""

import shutil
import subprocess
import sys

from programs import CACHE, ROOT
from suites.ci.workflow import action_workflow


def test_files_are_accepted(make_project, program):
    project = make_project("accepted")
    url, sha256 = program
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
