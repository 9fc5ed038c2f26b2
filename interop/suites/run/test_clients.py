"""The trdl client, python-tuf and go-tuf's client follow what a publisher does."""

import json

from programs import NEW, OLD


def test_trdl_follows_releases_promotions_and_pins(project):
    p = project()
    user = p.trdl("user")
    p.point("0", OLD)
    p.release(OLD, "--channels")
    for channel in ["dev", "alpha", "beta", "ea", "stable", "rock-solid"]:
        user.installs(OLD, "0", channel)
    p.release(NEW)
    user.installs(OLD, "0", "stable")
    p.point("0", NEW)
    p.publish("channels")
    user.installs(NEW, "0", "stable")
    p.trdl("fresh").installs(NEW, "0")
    user.installs(OLD, f"v{OLD}")
    user.installs(NEW, ">=0.1")
    user.installs(OLD, f"<{NEW}")
    user.installs(NEW, "~0.12")
    # A rollback on purpose reaches users who are ahead.
    p.point("0", OLD)
    p.publish("channels", fails=True)
    p.publish("channels", "--allow-downgrade")
    user.installs(OLD, "0", "stable")
    assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def test_trdl_follows_refreshes(project):
    p = project(at="-6h")
    p.point("0", OLD)
    # Signed five hours ago: the timestamp is due, nothing else is.
    p.release(OLD, "--channels", at="-5h")
    before = p.targets()
    user = p.trdl("user")
    user.installs(OLD, "0")
    document = json.loads(p.publish("refresh", "--json"))
    assert [due["role"] for due in document["plan"]["due"]] == ["timestamp"], document
    user.installs(OLD, "0")
    p.trdl("fresh").installs(OLD, "0")
    assert json.loads(p.publish("refresh", "--json"))["plan"]["empty"]
    assert p.targets() == before


def test_expired_roles_are_renewed(project):
    p = project(at="-2y")
    p.point("0", OLD)
    said = p.release(OLD, "--channels", fails=True)
    assert "the root expired" in said and "publish refresh" in said, said
    due = [due["role"] for due in json.loads(p.publish("refresh", "--json"))["plan"]["due"]]
    assert due == ["root", "targets", "snapshot", "timestamp"], due
    p.release(OLD, "--channels")
    p.trdl("fresh").installs(OLD, "0")
    p.read_whole_by(p.python("fresh"))


def test_consistent_snapshots_off_and_switched(project):
    p = project("--consistent-snapshot", "false")
    p.point("0", OLD)
    p.release(OLD, "--channels")
    hashed = [path for path in (p.directory / "repo/targets").rglob("*") if len(path.name.split(".")[0]) == 64]
    assert not hashed, hashed
    user, python = p.trdl("user"), p.python("user")
    user.installs(OLD, "0")
    p.read_whole_by(python)
    for wish, version in [("true", NEW), ("false", OLD), ("true", NEW)]:
        config = p.directory / "publish.yaml"
        lines = [line for line in config.read_text().splitlines() if not line.startswith("consistent_snapshot")]
        config.write_text("\n".join([*lines, f"consistent_snapshot: {wish}", ""]))
        p.publish("refresh")
        user.installs(p.groups["0"], "0")
        if version == NEW:
            p.release(NEW)
        p.point("0", version)
        p.publish("channels", "--allow-downgrade")
        user.installs(version, "0")
        p.read_whole_by(python)
        p.trdl(f"fresh-{wish}-{version}-{len(list(p.directory.iterdir()))}").installs(version, "0")
        assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def test_python_tuf_downloads_everything_after_every_publish(project):
    p = project()
    user = p.python("user")
    assert p.read_whole_by(user) == 0
    p.point("0", OLD)
    p.release(OLD, "--channels")
    # Six artifacts with their signatures, six channels, one certificate.
    assert p.read_whole_by(user) == 19
    p.release(NEW)
    assert p.read_whole_by(user) == 31
    p.point("0", NEW)
    p.publish("channels")
    assert p.read_whole_by(user) == 31


def test_clients_read_targets_in_bins(project):
    p = project()
    packages = {f"packages/p{number}/p{number}.zip": f"package {number}" for number in range(60)}
    for name, content in packages.items():
        path = p.directory / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    p.publish("add-targets", "packages")
    python, go = p.python("old"), p.go("old")
    # From none to many, to few, and to many again: fresh clients and those that have known each state before.
    for bins in [0, 16, 64, 4, 256]:
        if bins:
            p.publish("bins", "--count", str(bins), "--not-for-trdl", "--confirm", str(bins))
        changed = p.directory / f"packages/p{bins % 60}/p{bins % 60}.zip"
        changed.write_text(f"another edition, with {bins} bins")
        packages[str(changed.relative_to(p.directory))] = changed.read_text()
        p.publish("add-targets", "packages")
        for client in [python, p.python(f"fresh-{bins}")]:
            for name, content in packages.items():
                assert client.read(name) == content.encode(), (bins, name)
        for client in [go, p.go(f"fresh-{bins}")]:
            for name in list(packages)[:5] + [str(changed.relative_to(p.directory))]:
                assert client.reads(name) == packages[name], (bins, name)
        assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)
