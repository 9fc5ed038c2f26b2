"""Scenarios against real clients; started by `interop/run`, which installs them."""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import scenarios
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

PUBLISH = os.environ["PUBLISH"]
TRDL = os.environ["TRDL"]
BUILDS = Path(os.environ["INTEROP_CACHE"]) / "dist"
OLD, NEW = "0.12.0", "0.12.1"
MACHINE = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}[os.uname().machine]


def run(*command, env=None, cwd=None, fails=False, timeout=120):
    """Runs a command and gives its stdout; an exit code other than the expected kind is an error that shows everything."""
    result = subprocess.run([str(part) for part in command], env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=timeout)
    if (result.returncode != 0) != fails:
        raise AssertionError(f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stdout + (result.stderr if fails else "")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Project:
    """A publisher's directory with its repository served over http."""

    def __init__(self, directory):
        self.directory = Path(directory)
        (self.directory / "repo").mkdir()
        handler = functools.partial(Quiet, directory=str(self.directory / "repo"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.groups = {}

    def publish(self, *arguments, at=None, **kwargs):
        command = [PUBLISH, *arguments] if at is None else ["faketime", "-f", at, PUBLISH, *arguments]
        return run(*command, cwd=self.directory, **kwargs)

    def init(self, *arguments, at=None):
        document = json.loads(self.publish("init", "--name", "ruff", "--public-url", self.url, "--no-passphrase", "--json", *arguments, at=at))
        self.sha512 = document["result"]["root_sha512"]
        self.certificate = document["certificate_url"]
        assert document["trdl_add"] == f"trdl add ruff {self.url} 1 {self.sha512}", document

    def point(self, group, version):
        """Writes all channels of a group, pointing at one version."""
        self.groups[group] = version
        lines = ["groups:"]
        for name, points in self.groups.items():
            lines += [f'- name: "{name}"', "  channels:"]
            for channel in ["dev", "alpha", "beta", "ea", "stable", "rock-solid"]:
                lines += [f"  - name: {channel}", f"    version: {points}"]
        (self.directory / "trdl_channels.yaml").write_text("\n".join(lines) + "\n")

    def release(self, version, *arguments, **kwargs):
        return self.publish("release", version, "--from", BUILDS / version, *arguments, **kwargs)

    def targets(self):
        timestamp = json.loads((self.directory / "repo/timestamp.json").read_bytes())
        snapshot = self.directory / f"repo/{timestamp['signed']['meta']['snapshot.json']['version']}.snapshot.json"
        version = json.loads(snapshot.read_bytes())["signed"]["meta"]["targets.json"]["version"]
        return json.loads((self.directory / f"repo/{version}.targets.json").read_bytes())["signed"]["targets"]


class Trdl:
    """A user of the trdl client with a home of its own."""

    def __init__(self, project, name, version=1, sha512=None):
        self.project = project
        self.env = {"TRDL_HOME_DIR": str(project.directory / f"trdl-{name}"), "TRDL_NO_SELF_UPDATE": "1"}
        self.call("add", "ruff", project.url, str(version), sha512 or project.sha512)

    def call(self, *arguments, **kwargs):
        return run(TRDL, *arguments, env=self.env, **kwargs).strip()

    def installs(self, version, *what):
        self.call("update", "ruff", *what)
        expected = self.call("bin-path", "ruff", *what)
        assert expected.endswith(f"releases/{version}/{MACHINE}/bin"), expected
        said = self.call("exec", "ruff", *what, "--", "--version")
        assert said == f"ruff {version}", said


class FromDisk(FetcherInterface):
    """Lets python-tuf read file: URLs."""

    def _fetch(self, url):
        try:
            return iter([Path(urllib.parse.unquote(urllib.parse.urlparse(url).path)).read_bytes()])
        except FileNotFoundError as error:
            raise DownloadHTTPError("missing", 404) from error


class PythonTuf:
    """A python-tuf user pinned to the first root, with a cache that lasts."""

    def __init__(self, project, name, root=None):
        self.project = project
        self.home = project.directory / f"python-{name}"
        self.home.mkdir()
        self.root = root or (project.directory / "repo/1.root.json").read_bytes()

    def updater(self):
        updater = Updater(
            metadata_dir=str(self.home), metadata_base_url=self.project.url + "/", target_dir=str(self.home),
            target_base_url=self.project.url + "/targets/", bootstrap=self.root,
        )
        updater.refresh()
        return updater

    def read(self, name):
        updater = self.updater()
        info = updater.get_targetinfo(name)
        assert info is not None, name
        return Path(updater.download_target(info, str(self.home / "target"))).read_bytes()

    def downloads_everything(self):
        updater = self.updater()
        targets = self.project.targets()
        for name, entry in targets.items():
            info = updater.get_targetinfo(name)
            assert info is not None, name
            path = updater.download_target(info, str(self.home / "target"))
            content = Path(path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["hashes"]["sha256"], name
        return len(targets)


@contextlib.contextmanager
def project(*init, at=None):
    with tempfile.TemporaryDirectory() as directory:
        made = Project(directory)
        try:
            made.init(*init, at=at)
            yield made
        finally:
            made.server.shutdown()


def trdl_follows_releases_promotions_and_pins():
    with project() as p:
        user = Trdl(p, "user")
        p.point("0", OLD)
        p.release(OLD, "--channels")
        for channel in ["dev", "alpha", "beta", "ea", "stable", "rock-solid"]:
            user.installs(OLD, "0", channel)
        p.release(NEW)
        user.installs(OLD, "0", "stable")
        p.point("0", NEW)
        p.publish("channels")
        user.installs(NEW, "0", "stable")
        Trdl(p, "fresh").installs(NEW, "0")
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


def trdl_follows_refreshes():
    with project(at="-6h") as p:
        p.point("0", OLD)
        # Signed five hours ago: the timestamp is due, nothing else is.
        p.release(OLD, "--channels", at="-5h")
        before = p.targets()
        user = Trdl(p, "user")
        user.installs(OLD, "0")
        document = json.loads(p.publish("refresh", "--json"))
        assert [due["role"] for due in document["plan"]["due"]] == ["timestamp"], document
        user.installs(OLD, "0")
        Trdl(p, "fresh").installs(OLD, "0")
        assert json.loads(p.publish("refresh", "--json"))["plan"]["empty"]
        assert p.targets() == before


def everything_expired_is_renewed():
    with project(at="-2y") as p:
        p.point("0", OLD)
        said = p.release(OLD, "--channels", fails=True)
        assert "the root expired" in said and "publish refresh" in said, said
        due = [due["role"] for due in json.loads(p.publish("refresh", "--json"))["plan"]["due"]]
        assert due == ["root", "targets", "snapshot", "timestamp"], due
        p.release(OLD, "--channels")
        Trdl(p, "fresh").installs(OLD, "0")
        PythonTuf(p, "fresh").downloads_everything()


def consistent_snapshots_off_and_switched():
    with project("--consistent-snapshot", "false") as p:
        p.point("0", OLD)
        p.release(OLD, "--channels")
        hashed = [path for path in (p.directory / "repo/targets").rglob("*") if len(path.name.split(".")[0]) == 64]
        assert not hashed, hashed
        user, python = Trdl(p, "user"), PythonTuf(p, "user")
        user.installs(OLD, "0")
        python.downloads_everything()
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
            python.downloads_everything()
            Trdl(p, f"fresh-{wish}-{version}-{len(list(p.directory.iterdir()))}").installs(version, "0")
            assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def python_tuf_downloads_everything_after_every_publish():
    with project() as p:
        user = PythonTuf(p, "user")
        assert user.downloads_everything() == 0
        p.point("0", OLD)
        p.release(OLD, "--channels")
        # Six artifacts with their signatures, six channels, one certificate.
        assert user.downloads_everything() == 19
        p.release(NEW)
        assert user.downloads_everything() == 31
        p.point("0", NEW)
        p.publish("channels")
        assert user.downloads_everything() == 31


def verify_with_gpg(p, version):
    """As release notes instruct users: curl the artifact, its signature and the certificate, then gpg and gpgv."""
    home = p.directory / "gnupg"
    home.mkdir(mode=0o700, exist_ok=True)
    env = {"GNUPGHOME": str(home)}
    fetch = lambda url, to: run("curl", "--silent", "--show-error", "--fail", "--output", to, url)
    fetch(p.certificate, home / "release.asc")
    run("gpg", "--batch", "--import", home / "release.asc", env=env)
    run("gpg", "--batch", "--yes", "--dearmor", "--output", home / "release.gpg", home / "release.asc", env=env)
    checked = 0
    for name in p.targets():
        if not name.startswith(f"releases/{version}/"):
            continue
        artifact, signature = home / "artifact", home / "artifact.sig"
        fetch(f"{p.url}/targets/{urllib.parse.quote(name)}", artifact)
        fetch(f"{p.url}/targets/{urllib.parse.quote(name.replace('releases/', 'signatures/', 1))}.sig", signature)
        run("gpg", "--batch", "--verify", signature, artifact, env=env)
        run("gpgv", "--keyring", home / "release.gpg", signature, artifact, env=env)
        checked += 1
    assert checked == 6, checked
    artifact.write_bytes(artifact.read_bytes() + b"x")
    run("gpg", "--batch", "--verify", signature, artifact, env=env, fails=True)


def gpg_and_gpgv_verify_our_own_keys():
    for algorithm in ["ed25519", "rsa4096"]:
        with project("--openpgp-algorithm", algorithm) as p:
            p.release(OLD)
            verify_with_gpg(p, OLD)


def gpg_exported_keys_sign():
    recipes = {
        "rsa": "Key-Type: RSA\nKey-Length: 3072\nKey-Usage: sign,cert\n",
        "ed25519": "Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign,cert\n",
        "nistp256": "Key-Type: ECDSA\nKey-Curve: nistp256\nKey-Usage: sign,cert\n",
        "nistp384": "Key-Type: ECDSA\nKey-Curve: nistp384\nKey-Usage: sign,cert\n",
        "subkey": "Key-Type: RSA\nKey-Length: 3072\nKey-Usage: cert\nSubkey-Type: EDDSA\nSubkey-Curve: ed25519\nSubkey-Usage: sign\n",
        "stub": "Key-Type: RSA\nKey-Length: 3072\nKey-Usage: cert\nSubkey-Type: RSA\nSubkey-Length: 3072\nSubkey-Usage: sign\n",
    }
    for name, recipe in recipes.items():
        with tempfile.TemporaryDirectory() as home:
            env = {"GNUPGHOME": home}
            Path(home, "recipe").write_text(f"{recipe}Name-Real: {name}\nExpire-Date: 0\nPassphrase: test only {name}\n%commit\n")
            run("gpg", "--batch", "--generate-key", Path(home, "recipe"), env=env)
            export = "--export-secret-subkeys" if name == "stub" else "--export-secret-keys"
            key = Path(home, "key.asc")
            key.touch(mode=0o600)
            run("gpg", "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", f"test only {name}", "--armor", "--output", key, export, env=env)
            key.chmod(0o600)
            with project("--openpgp-key", str(key)) as p:
                p.release(OLD, env={"PUBLISH_OPENPGP_PASSPHRASE": f"test only {name}"})
                verify_with_gpg(p, OLD)
            run("gpgconf", "--kill", "all", env=env)


def verify_reads_repositories_of_go_tuf():
    """A repository made by go-tuf's own tool as trdl's server configures it: no consistent snapshots, SHA-512 alone."""
    with tempfile.TemporaryDirectory() as directory:
        tuf = [os.environ["INTEROP_CACHE"] + "/go-tuf", "-d", directory, "--insecure-plaintext"]
        run(*tuf, "init", "--consistent-snapshot=false")
        for role in ["root", "targets", "snapshot", "timestamp"]:
            run(*tuf, "gen-key", "--expires=100", role)
        staged = Path(directory, "staged/targets/releases/1.0.0/any-any/bin")
        staged.mkdir(parents=True)
        (staged / "tool").write_text("hello")
        channel = Path(directory, "staged/targets/channels/0/stable")
        channel.parent.mkdir(parents=True)
        channel.write_text("1.0.0\n")
        run(*tuf, "add")
        run(*tuf, "snapshot")
        run(*tuf, "timestamp")
        run(*tuf, "commit")
        report = json.loads(run(PUBLISH, "verify", Path(directory, "repository"), "--json"))
        assert report["good"] and report["report"]["targets"] == 2, report
        Path(directory, "repository/targets/releases/1.0.0/any-any/bin/tool").write_text("jello")
        assert "differs from its entry" in run(PUBLISH, "verify", Path(directory, "repository"), "--json", fails=True)


class GoTuf:
    """A user of go-tuf's own client, pinned to the first root, with a cache that lasts."""

    def __init__(self, project, name):
        self.project, self.store = project, project.directory / f"go-{name}.db"
        self.call("init", project.url, project.directory / "repo/1.root.json")

    def call(self, command, *arguments):
        return run(os.environ["INTEROP_CACHE"] + "/tuf-client", command, "-s", self.store, *arguments)

    def reads(self, name):
        return self.call("get", self.project.url, name)


def clients_read_what_is_spread_over_bins():
    with project() as p:
        packages = {f"packages/p{number}/p{number}.zip": f"package {number}" for number in range(60)}
        for name, content in packages.items():
            path = p.directory / name
            path.parent.mkdir(parents=True)
            path.write_text(content)
        p.publish("add-targets", "packages")
        python, go = PythonTuf(p, "old"), GoTuf(p, "old")
        # From none to many, to few, and to many again: fresh clients and those that have known each state before.
        for bins in [0, 16, 64, 4, 256]:
            if bins:
                p.publish("bins", "--count", str(bins), "--not-for-trdl", "--confirm", str(bins))
            changed = p.directory / f"packages/p{bins % 60}/p{bins % 60}.zip"
            changed.write_text(f"another edition, with {bins} bins")
            packages[str(changed.relative_to(p.directory))] = changed.read_text()
            p.publish("add-targets", "packages")
            for client in [python, PythonTuf(p, f"fresh-{bins}")]:
                for name, content in packages.items():
                    assert client.read(name) == content.encode(), (bins, name)
            for client in [go, GoTuf(p, f"fresh-{bins}")]:
                for name in list(packages)[:5] + [str(changed.relative_to(p.directory))]:
                    assert client.reads(name) == packages[name], (bins, name)
            assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def a_repository_of_rugged_is_carried_on_in_place():
    """The imitation of testdata/repositories: python-tuf reads it as it was, and on after each step here."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        shutil.copytree(Path(__file__).parent.parent / "testdata/repositories/rugged", home, dirs_exist_ok=True)
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
        handler = functools.partial(Quiet, directory=directory)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"

        def read(cache):
            cache = home / "cache" / cache
            cache.mkdir(parents=True, exist_ok=True)
            updater = Updater(metadata_dir=str(cache), metadata_base_url=f"{url}/metadata/", target_dir=str(cache), target_base_url=f"{url}/served/", bootstrap=root)
            updater.config.prefix_targets_with_hash = False
            updater.refresh()
            served = [path for path in sorted((home / "served").rglob("*")) if path.is_file()]
            for path in served:
                info = updater.get_targetinfo(str(path.relative_to(home / "served")))
                assert info is not None, path
                assert Path(updater.download_target(info, str(cache / "target"))).read_bytes() == path.read_bytes()
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
        server.shutdown()


class Clients:
    """The same questions to all clients: those that have known every state, and fresh ones."""

    def __init__(self, p):
        self.p, self.count, self.held = p, 0, [Trdl(p, "held"), PythonTuf(p, "held"), GoTuf(p, "held")]

    def see(self, version, name):
        self.count += 1
        fresh = [Trdl(self.p, f"fresh-{self.count}"), PythonTuf(self.p, f"fresh-{self.count}"), GoTuf(self.p, f"fresh-{self.count}")]
        for trdl, python, go in [self.held, fresh]:
            trdl.installs(version, "0", "stable")
            assert python.read("channels/0/stable") == f"{version}\n".encode()
            assert python.read(name)
            assert go.reads("channels/0/stable") == f"{version}\n"


def a_repository_of_go_tuf_is_adopted_and_clients_notice_nothing():
    """As trdl's server makes one: no consistent snapshots, SHA-512 alone, encrypted key files, ids over the old field."""
    with tempfile.TemporaryDirectory() as directory:
        made, env = Path(directory, "made"), {f"TUF_{role}_PASSPHRASE": "test only" for role in ["ROOT", "TARGETS", "SNAPSHOT", "TIMESTAMP"]}
        made.mkdir()
        tuf = [os.environ["INTEROP_CACHE"] + "/go-tuf", "-d", made]
        run(*tuf, "init", "--consistent-snapshot=false", env=env)
        for role in ["root", "targets", "snapshot", "timestamp"]:
            run(*tuf, "gen-key", "--expires=100", role, env=env)
        staged = made / "staged/targets"
        shutil.copytree(BUILDS / OLD / MACHINE, staged / f"releases/{OLD}/{MACHINE}")
        (staged / "channels/0").mkdir(parents=True)
        (staged / "channels/0/stable").write_text(f"{OLD}\n")
        for command in ["add", "snapshot", "timestamp", "commit"]:
            run(*tuf, command, env=env)
        (Path(directory) / "publisher").mkdir()
        p = Project(Path(directory) / "publisher")
        (p.directory / "repo").rmdir()
        (made / "repository").rename(p.directory / "repo")
        p.sha512 = hashlib.sha512((p.directory / "repo/1.root.json").read_bytes()).hexdigest()
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
        p.server.shutdown()


def a_repository_of_python_tuf_is_adopted_with_keys_of_every_kind():
    """Metadata in a directory of its own, targets served from elsewhere, consistent snapshots, P-256 and RSA keys in PEM."""
    from datetime import datetime, timedelta, timezone

    from cryptography.hazmat.primitives import serialization
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
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
            cache = home / cache
            cache.mkdir(exist_ok=True)
            updater = Updater(metadata_dir=str(cache), metadata_base_url=(home / "metadata").as_uri() + "/", fetcher=FromDisk(), bootstrap=pinned)
            updater.refresh()
            for name in names:
                assert updater.get_targetinfo(name) is not None, name

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


def clients_follow_many_roots():
    """Rotations of online keys, two roots each; users who came on any day follow at every step. Five of them, and fifty in
    the full tier."""
    rotations = 50 if os.environ.get("TIER") == "full" else 5
    chance = random.Random(int(os.environ.get("SEED", time.time())))
    with project() as p:
        p.point("0", OLD)
        p.release(OLD, "--channels")
        trdl, python, go = Trdl(p, "held"), PythonTuf(p, "held"), GoTuf(p, "held")
        roles = ["timestamp", "snapshot", "targets"]
        for number in range(rotations):
            p.publish("rotate", roles[number % 3], "--now", "--no-passphrase")
            for client in chance.sample([lambda: trdl.installs(OLD, "0", "stable"), lambda: python.read("channels/0/stable"), lambda: go.reads("channels/0/stable")], 1):
                client()
        newest = 1 + 2 * rotations
        assert (p.directory / f"repo/{newest}.root.json").exists() and not (p.directory / f"repo/{newest + 1}.root.json").exists()
        trdl.installs(OLD, "0", "stable"), python.read("channels/0/stable"), go.reads("channels/0/stable")
        for version in [1, newest - 1, *chance.sample(range(2, newest - 1), min(10, newest - 3))]:
            root = (p.directory / f"repo/{version}.root.json").read_bytes()
            user = Trdl(p, f"pinned-{version}", version, hashlib.sha512(root).hexdigest())
            user.installs(OLD, "0", "stable")
            assert PythonTuf(p, f"pinned-{version}", root).read("channels/0/stable") == f"{OLD}\n".encode()
        assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def clients_forget_versions_that_an_attacker_raised():
    """Those who saw the attack, those who did not, and those who come later follow the root that takes versions back."""
    with project() as p:
        p.point("0", OLD)
        p.release(OLD, "--channels")
        good = {role["role"]: role["version"] for role in json.loads(p.publish("status", "--json"))["status"]["roles"]}
        unaware, fooled = ((Trdl(p, name), PythonTuf(p, name), GoTuf(p, name)) for name in ["unaware", "fooled"])

        def see(clients, version):
            trdl, python, go = clients
            trdl.installs(version, "0", "stable")
            assert python.read("channels/0/stable") == f"{version}\n".encode()
            go.reads("channels/0/stable")

        see(unaware, OLD)
        # The attacker, with the highest numbers that the trdl client reads.
        p.publish("refresh", "--all", "--versions-above", "9007199254740980", "--confirm", "9007199254740980")
        p.point("0", NEW)
        p.release(NEW, "--channels")
        see(fooled, NEW)
        roles = ["timestamp", "snapshot", "targets"]
        config = (p.directory / "publish.yaml").read_text()
        for role in roles:
            old = json.loads(p.publish("key", "show", f"keys/{role}.pem", "--json"))["key_id"]
            p.publish("key", "new", f"keys/{role}-2.pem", "--no-passphrase")
            p.publish("root", "edit", "--add-key", f"{role}=keys/{role}-2.pem", "--remove-key", f"{role}={old}")
            config = config.replace(f"keys/{role}.pem", f"keys/{role}-2.pem")
        (p.directory / "publish.yaml").write_text(config)
        p.publish("root", "sign", "--yes")
        highest = max(good[role] for role in roles)
        p.publish("root", "commit", "--replace-now", "--back-to", good["snapshot"], "--reset-versions", highest, "--confirm", "2")
        now = {role["role"]: role["version"] for role in json.loads(p.publish("status", "--json"))["status"]["roles"]}
        assert now == {"root": 2, **{role: highest + 1 for role in roles}}, now
        fresh = Trdl(p, "fresh"), PythonTuf(p, "fresh"), GoTuf(p, "fresh")
        for clients in [unaware, fooled, fresh]:
            see(clients, OLD)
        p.release(NEW, "--channels")
        for clients in [unaware, fooled, fresh]:
            see(clients, NEW)
        assert "good: 0 errors" in p.publish("verify", p.url, "--root-sha512", p.sha512)


def the_five_minutes_of_the_readme_work():
    """All shell blocks of the section, pasted into one shell, with the trdl client of this suite."""
    readme = Path("README.md").read_text()
    section = readme.split("## Five minutes\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    assert len(blocks) >= 7, blocks
    with tempfile.TemporaryDirectory() as home, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, home = probe.getsockname()[1], Path(home)
        probe.close()
        script = "".join(blocks).replace("8000", str(port)).replace("/tmp/acme", str(home / "acme"))
        # A web server needs a moment before it answers.
        script = script.replace("publish status\n", f"curl -sf --retry 20 --retry-connrefused -o /dev/null http://127.0.0.1:{port}/timestamp.json\npublish status\n", 1)
        (home / "bin").mkdir()
        (home / "bin/publish").symlink_to(PUBLISH)
        (home / "bin/trdl").symlink_to(TRDL)
        (home / "gnupg").mkdir(mode=0o700)
        env = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "GNUPGHOME": str(home / "gnupg"), "TRDL_HOME_DIR": str(home / ".trdl"), "TRDL_NO_SELF_UPDATE": "1"}
        said = run("bash", "-euc", f"trap 'kill $(jobs -p)' EXIT\n{script}", env=env)
        assert "release 1.0.0 is published" in said and "healthy: clients can update" in said, said
        # What the README shows is what was printed.
        dateless = lambda text: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE", text)
        shown, said = dateless(re.search(r"```text\n(.*?)```", section, re.S)[1]), dateless(said)
        assert shown in said, f"the README shows\n{shown}\nbut this was printed:\n{said}"
        assert "hello from acme" in said, f"trdl exec did not run the program: {said}"
        downloads = {path.name for path in (home / "acme/download").iterdir()}
        assert {"acme", "acme.sig"} < downloads, downloads


SCENARIOS = [
    the_five_minutes_of_the_readme_work,
    clients_forget_versions_that_an_attacker_raised,
    a_repository_of_go_tuf_is_adopted_and_clients_notice_nothing,
    a_repository_of_python_tuf_is_adopted_with_keys_of_every_kind,
    clients_follow_many_roots,
    a_repository_of_rugged_is_carried_on_in_place,
    clients_read_what_is_spread_over_bins,
    verify_reads_repositories_of_go_tuf,
    trdl_follows_releases_promotions_and_pins,
    trdl_follows_refreshes,
    everything_expired_is_renewed,
    consistent_snapshots_off_and_switched,
    python_tuf_downloads_everything_after_every_publish,
    gpg_and_gpgv_verify_our_own_keys,
    gpg_exported_keys_sign,
]

scenarios.run("interop", SCENARIOS)
