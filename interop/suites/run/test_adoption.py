"""Repositories that other programs made: publish verifies them, adopts them or continues them, and their users notice nothing."""

import json
import shutil
from datetime import datetime, timedelta, timezone

from cryptography.hazmat.primitives import serialization
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from clients import FromDisk, PythonTuf, sha512
from programs import BUILDS, GO_TUF, MACHINE, NEW, OLD, PUBLISH, ROOT, run
from suites.run.project import Project
from web import Site


def test_verify_reads_go_tuf_repositories(directory):
    """A repository made by go-tuf's own tool as trdl's server configures it: no consistent snapshots, SHA-512 alone."""
    tuf = [GO_TUF, "-d", directory, "--insecure-plaintext"]
    run(*tuf, "init", "--consistent-snapshot=false")
    for role in ["root", "targets", "snapshot", "timestamp"]:
        run(*tuf, "gen-key", "--expires=100", role)
    staged = directory / "staged/targets/releases/1.0.0/any-any/bin"
    staged.mkdir(parents=True)
    (staged / "tool").write_text("hello")
    channel = directory / "staged/targets/channels/0/stable"
    channel.parent.mkdir(parents=True)
    channel.write_text("1.0.0\n")
    run(*tuf, "add")
    run(*tuf, "snapshot")
    run(*tuf, "timestamp")
    run(*tuf, "commit")
    report = json.loads(run(PUBLISH, "verify", directory / "repository", "--json"))
    assert report["good"] and report["report"]["targets"] == 2, report
    (directory / "repository/targets/releases/1.0.0/any-any/bin/tool").write_text("jello")
    assert "differs from its entry" in run(PUBLISH, "verify", directory / "repository", "--json", fails=True)


class Clients:
    """The same questions to all clients: those that have known every state, and fresh ones."""

    def __init__(self, p):
        self.p, self.count, self.held = p, 0, [p.trdl("held"), p.python("held"), p.go("held")]

    def see(self, version, name):
        self.count += 1
        name_of_fresh = f"fresh-{self.count}"
        fresh = [self.p.trdl(name_of_fresh), self.p.python(name_of_fresh), self.p.go(name_of_fresh)]
        for trdl, python, go in [self.held, fresh]:
            trdl.installs(version, "0", "stable")
            assert python.read("channels/0/stable") == f"{version}\n".encode()
            assert python.read(name)
            assert go.reads("channels/0/stable") == f"{version}\n"


def test_go_tuf_repository_is_adopted_and_clients_notice_nothing(directory):
    """As trdl's server makes one: no consistent snapshots, SHA-512 alone, encrypted key files, ids over the old field."""
    made, env = directory / "made", {f"TUF_{role}_PASSPHRASE": "test only" for role in ["ROOT", "TARGETS", "SNAPSHOT", "TIMESTAMP"]}
    made.mkdir()
    tuf = [GO_TUF, "-d", made]
    run(*tuf, "init", "--consistent-snapshot=false", env=env)
    for role in ["root", "targets", "snapshot", "timestamp"]:
        run(*tuf, "gen-key", "--expires=100", role, env=env)
    staged = made / "staged/targets"
    shutil.copytree(BUILDS / OLD / MACHINE, staged / f"releases/{OLD}/{MACHINE}")
    (staged / "channels/0").mkdir(parents=True)
    (staged / "channels/0/stable").write_text(f"{OLD}\n")
    for command in ["add", "snapshot", "timestamp", "commit"]:
        run(*tuf, command, env=env)
    (directory / "publisher").mkdir()
    p = Project(directory / "publisher")
    (p.directory / "repo").rmdir()
    (made / "repository").rename(p.directory / "repo")
    p.sha512 = sha512((p.directory / "repo/1.root.json").read_bytes())
    clients = Clients(p)
    clients.see(OLD, "channels/0/stable")
    # An OpenPGP key: trdl's server keeps its own.
    run(PUBLISH, "init", "--name", "x", "--no-passphrase", cwd=made)
    (made / "keys/targets.pem").unlink()
    (p.directory / "passphrase").write_text("test only")
    (p.directory / "passphrase").chmod(0o600)
    before = {path: path.read_bytes() for path in (p.directory / "repo").rglob("*") if path.is_file()}
    p.publish("adopt", "repo", "--keys", made / "keys", "--name", "ruff", "--openpgp-key", made / "keys/openpgp.asc", "--passphrase-file", "passphrase", "--yes")
    assert before == {path: path.read_bytes() for path in (p.directory / "repo").rglob("*") if path.is_file()}, "nothing was published"
    publish = lambda *arguments, **kwargs: p.publish(*arguments, "--passphrase-file", "passphrase", **kwargs)
    # Each step of its own, with all clients after each.
    publish("refresh")
    clients.see(OLD, "channels/0/stable")
    p.release(NEW, "--passphrase-file", "passphrase")
    p.point("0", NEW)
    publish("channels")
    clients.see(NEW, f"releases/{NEW}/{MACHINE}/bin/ruff")
    config = p.directory / "publish.yaml"
    config.write_text(config.read_text().replace("consistent_snapshot: false", "consistent_snapshot: true"))
    publish("refresh")
    clients.see(NEW, f"releases/{NEW}/{MACHINE}/bin/ruff")
    assert "targets get a SHA-256" in publish("refresh", "--rehash", "--dry-run")
    publish("refresh", "--rehash")
    assert "nothing" in publish("refresh", "--rehash")
    clients.see(NEW, f"releases/{NEW}/{MACHINE}/bin/ruff")
    for role in ["timestamp", "targets"]:
        publish("rotate", role, "--now", "--no-passphrase")
        clients.see(NEW, f"releases/{NEW}/{MACHINE}/bin/ruff")
    # The old release was built for this machine only.
    p.point("0", OLD)
    assert "without platforms that their users have" in publish("channels", "--allow-downgrade", fails=True)
    publish("channels", "--allow-downgrade", "--allow-missing-platforms")
    clients.see(OLD, f"releases/{OLD}/{MACHINE}/bin/ruff")
    assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)
    p.site.close()


def test_python_tuf_repository_is_adopted_with_keys_of_every_kind(directory):
    """Metadata in a directory of its own, targets served from elsewhere, consistent snapshots, P-256 and RSA keys in PEM."""
    home = directory
    (home / "metadata").mkdir(), (home / "their-keys").mkdir(), (home / "publisher").mkdir()
    expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=60)
    signers = {"root": CryptoSigner.generate_ed25519(), "targets": CryptoSigner.generate_ecdsa(), "snapshot": CryptoSigner.generate_rsa(), "timestamp": CryptoSigner.generate_ed25519()}
    for role, signer in signers.items():
        pem = signer._private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = home / f"their-keys/{role}"
        path.write_bytes(pem)
        path.chmod(0o600)

    def write(name, role, by):
        metadata = Metadata(role)
        metadata.sign(signers[by])
        (home / "metadata" / name).write_bytes(metadata.to_bytes())

    root = Root(expires=expires)
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    write("1.root.json", root, "root")
    write("1.targets.json", Targets(expires=expires, targets={"pkg/a.txt": TargetFile.from_data("pkg/a.txt", b"a", ["sha256"])}), "targets")
    write("1.snapshot.json", Snapshot(expires=expires, meta={"targets.json": MetaFile(1)}), "snapshot")
    write("timestamp.json", Timestamp(expires=expires, snapshot_meta=MetaFile(1)), "timestamp")
    pinned = (home / "metadata/1.root.json").read_bytes()

    def sees(cache, names):
        PythonTuf((home / "metadata").as_uri(), pinned, home / cache, fetcher=FromDisk()).lists(names)

    sees("held", ["pkg/a.txt"])
    publish = lambda *arguments: run(PUBLISH, *arguments, cwd=home / "publisher")
    assert "another server serves it" in publish("adopt", home / "metadata", "--keys", home / "their-keys", "--no-passphrase", "--yes")
    (home / "publisher/pkg").mkdir()
    (home / "publisher/pkg/b.txt").write_text("b")
    publish("add-targets", "pkg")
    sees("held", ["pkg/a.txt", "pkg/b.txt"]), sees("fresh-1", ["pkg/a.txt", "pkg/b.txt"])
    publish("refresh", "--all")
    publish("rotate", "snapshot", "--now", "--no-passphrase")
    publish("root", "edit", "--expires", "300d"), publish("root", "sign", "--yes"), publish("root", "commit")
    sees("held", ["pkg/b.txt"]), sees("fresh-2", ["pkg/b.txt"])
    assert "good: 0 errors" in publish("verify", "--metadata-only")


def test_rugged_repository_is_continued_in_place(directory):
    """The imitation of testdata/repositories: python-tuf reads it as it was, and on after each step here."""
    home = directory
    shutil.copytree(ROOT / "testdata/repositories/rugged", home, dirs_exist_ok=True)
    for key in (home / "keys").iterdir():
        key.chmod(0o600)
    root = (home / "metadata/1.root.json").read_bytes()
    (home / "1.root.json").write_bytes(root)
    (home / "passphrase").write_text("test-only")
    (home / "passphrase").chmod(0o600)
    (home / "box").mkdir()
    keys = "".join(f"  {role}: file:keys/{role}\n" for role in ["targets", "snapshot", "timestamp"])
    (home / "publish.yaml").write_text(
        f"repo: metadata\nroot: 1.root.json\nkeys:\n{keys}passphrase_file: passphrase\nplain_names: elsewhere\nmonitor: {{drop_box: box}}\n"
    )
    site = Site(home)

    def read(cache):
        client = PythonTuf(site.url, root, home / "cache" / cache, metadata_path="/metadata", targets_path="/served", hash_prefixes=False)
        updater = client.updater()
        served = [path for path in sorted((home / "served").rglob("*")) if path.is_file()]
        for path in served:
            assert client.download(updater, str(path.relative_to(home / "served"))) == path.read_bytes(), path
        return len(served)

    def publish(*arguments):
        return run(PUBLISH, *arguments, cwd=home)

    assert read("old") == 25
    # One package is added manually, one comes through the drop box as Rugged's pipelines use it, and one is edited after signing.
    package = home / "served/drupal/added/1.0.0"
    package.parent.mkdir()
    package.write_text("a new package")
    publish("add-targets", "served", "--base", "served")
    assert read("old") == read("fresh-1") == 26
    (home / "box/tuf_tmp_1700000000/drupal/dropped").mkdir(parents=True)
    (home / "box/tuf_tmp_1700000000/drupal/dropped/1.0.0").write_text("a dropped package")
    shutil.copytree(home / "box/tuf_tmp_1700000000", home / "served", dirs_exist_ok=True)
    (home / "box/tuf_tmp_1700000000").rename(home / "box/tuf_ready_1700000000")
    publish("monitor", "--once")
    assert [path.name for path in (home / "box").iterdir() if not path.name.startswith(".")] == []
    (home / "served/drupal/module1/1.0.1").write_text("edited")
    publish("add-targets", "--changed", "served", "--base", "served")
    assert read("old") == read("fresh-2") == 27
    assert "nothing is due" in publish("refresh")
    assert "good: 0 errors" in publish("verify", "--metadata-only")
    site.close()
