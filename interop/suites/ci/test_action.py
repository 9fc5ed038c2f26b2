"""The action of action.yml publishes."""

import shutil

from suites.ci.machine import all_succeed, git
from suites.ci.workflow import action_workflow


def test_action_publishes(ceph, on_github):
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
    project.commit("no store", {".github/workflows/release.yml": text, "publish.ci.yaml": config.replace(ceph, "http://127.0.0.1:9")})
    git(project.origin, "tag", "v1.1.0")
    forge.push_tag("v1.1.0")["release/release"].fails("Trying again in 5 seconds.", "check the network")
    project.commit("a word", {".github/workflows/release.yml": text.replace("retry: true", "command: publish"), "publish.ci.yaml": config})
    git(project.origin, "tag", "v1.1.1")
    forge.push_tag("v1.1.1")["release/release"].fails("it is release, channels, refresh or install")
