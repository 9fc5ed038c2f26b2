"""Pipelines of GitLab publish, plan and refuse."""

from suites.ci.machine import all_succeed, at_once, git


def test_gitlab_publishes(on_gitlab):
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


def test_merge_requests_from_forks_get_a_notice(on_gitlab):
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


def test_refresh_without_its_keys_fails(on_gitlab):
    project, forge = on_gitlab("unkeyed")
    forge.variables = [entry for entry in forge.variables if entry[0] != "PUBLISH_SNAPSHOT_KEY"]
    forge.schedule("refresh")["publish:refresh"].fails("the variable PUBLISH_SNAPSHOT_KEY is not set")
