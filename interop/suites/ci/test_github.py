"""Workflows of GitHub publish, plan and refuse."""

from suites.ci.machine import all_succeed, at_once, git


def test_github_publishes(on_github):
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


def test_pull_requests_from_forks_get_a_notice(on_github):
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


def test_refused_plan_is_a_comment_too(on_github):
    project, forge = on_github("refused")
    project.commit("early", {"trdl_channels.yaml": project.channels("9.9.9")["trdl_channels.yaml"] + "# ``` @everyone <script>\n"}, branch="early")
    project.back()
    forge.pull_request("early", 5)["publish-plan/plan"].fails("9.9.9")
    (comment,) = forge.posted[5]
    assert "cannot be published" in comment["body"] and "\n    error:" in comment["body"] and "9.9.9" in comment["body"], comment


def test_broken_secrets_are_named_and_nothing_is_written(on_github):
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
