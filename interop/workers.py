"""Scenarios of signing by workers; started by `interop/workers`, which runs RabbitMQ and Ceph."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pika
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import scenarios
from places import Bucket, Directory
from clients import Gateway, PythonTuf

PUBLISH = os.environ["PUBLISH"]
SERVERS = Path(os.environ["SERVERS"])
PLAIN, TLS = (SERVERS / "rabbitmq/urls").read_text().split()
PORT = int(PLAIN.rpartition(":")[2])
CEPH = (SERVERS / "ceph/endpoint").read_text().strip()
DOMAIN = b"publish signing request, version 1\n"


def rabbitmq(verb):
    subprocess.run(["servers/rabbitmq", verb, SERVERS / "rabbitmq"], check=True, stdin=subprocess.DEVNULL)


class Host:
    """One machine: a home with a config and the keys that it holds."""

    def __init__(self, home, name):
        self.home, self.name, self.processes = home, name, []
        (home / "keys").mkdir(parents=True)
        self.public = json.loads(self.publish("key", "new", "keys/identity.pem", "--no-passphrase", "--json"))["public"]

    def run(self, *arguments, env=None, timeout=120):
        command = [PUBLISH, *map(str, arguments)]
        return subprocess.run(command, cwd=self.home, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def publish(self, *arguments, **kwargs):
        done = self.run(*arguments, **kwargs)
        assert done.returncode == 0, f"{self.name}: {arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, code, words, *arguments, **kwargs):
        done = self.run(*arguments, **kwargs)
        assert done.returncode == code and words in done.stderr, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def start(self, *arguments):
        log = open(self.home / "log", "a")
        process = subprocess.Popen([PUBLISH, *arguments, "--json"], cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def events(self, event=None):
        lines = (self.home / "log").read_text().splitlines() if (self.home / "log").exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in found if event in (None, line.get("event"))]


class Team:
    """A repository with a worker for each role on a host of its own, callers, and the administrator who made it."""

    ROLES = ["targets", "snapshot", "timestamp"]

    def __init__(self, directory, place, broker=PLAIN, more=""):
        self.directory, self.place, self.broker, self.more = Path(directory), place, broker, more
        admin = self.directory / "admin"
        admin.mkdir()
        (admin / "publish.yaml").write_text("name: acme\n" + place.config("repo"))
        done = subprocess.run([PUBLISH, "init", "--no-passphrase", "--json"], cwd=admin, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        self.root = (admin / "keys/1.root.json").read_bytes()
        self.hosts = {name: Host(self.directory / name, name) for name in [*self.ROLES, "standby", "ci", "monitor"]}
        for name, host in self.hosts.items():
            (host.home / "keys/1.root.json").write_bytes(self.root)
            if name in self.ROLES:
                shutil.move(admin / f"keys/{name}.pem", host.home / "keys")
        shutil.copy(self.hosts["targets"].home / "keys/targets.pem", self.hosts["standby"].home / "keys")
        shutil.move(admin / "keys/openpgp.asc", self.hosts["ci"].home / "keys")
        certificate = subprocess.run(["gpg", "--batch", "--show-keys", self.hosts["ci"].home / "keys/openpgp.asc"], capture_output=True, text=True)
        assert certificate.returncode == 0, certificate.stderr
        for name in ["targets", "standby"]:
            shutil.copy(self.hosts["ci"].home / "keys/openpgp.asc", self.hosts[name].home / "certificate.asc")
        for name in self.hosts:
            self.configure(name)

    def configure(self, name, patience=60, **changes):
        host = self.hosts[name]
        senders = {
            "ci": {"key": self.hosts["ci"].public, "prefixes": ["releases/", "signatures/", "openpgp/", "channels/", "yanked/", "packages/"], "may": ["publish", "remove", "refresh", "bins"]},
            "targets": {"key": self.hosts["targets"].public, "may": ["refresh"]},
            "standby": {"key": self.hosts["standby"].public, "may": ["refresh"]},
            "monitor": {"key": self.hosts["monitor"].public, "prefixes": ["packages/"], "may": ["publish", "refresh"]},
        }
        config = {"name": name, "state": str(self.directory / "shared"), "patience": patience, "senders": senders, **changes}
        if name in ("targets", "standby"):
            config["certificates"] = ["certificate.asc"]
        # JSON is YAML.
        monitor = {"drop_box": str(self.directory / "box"), "prefix": "packages", "scan": 0.5, "refresh": 2}
        (host.home / "publish.yaml").write_text(f"name: acme\n{self.place.config('repo')}broker: {self.broker}\n{self.more}workers: {json.dumps(config)}\nmonitor: {json.dumps(monitor)}\n")
        (self.directory / "box").mkdir(exist_ok=True)

    def upload(self, name, files):
        """What a pipeline does that holds no credential: fill a directory, then rename it."""
        box = self.directory / "box"
        (box / f"tuf_tmp_{name}").mkdir()
        for path, content in files.items():
            (box / f"tuf_tmp_{name}" / path).write_bytes(content)
        (box / f"tuf_tmp_{name}").rename(box / f"tuf_ready_{name}")

    def dropped(self):
        return sorted(path.name for path in (self.directory / "box").iterdir() if not path.name.startswith("."))

    def start(self, *roles):
        for role in roles or self.ROLES:
            self.hosts[role].start("worker", role)
            until(lambda: self.hosts[role].events("ready"), f"the {role} worker is ready")

    @property
    def ci(self):
        return self.hosts["ci"]

    def package(self, number, content=None, host=None):
        path = (host or self.ci).home / f"packages/p{number}.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content or f"package {number}")
        return path

    def stop(self):
        for host in self.hosts.values():
            for process in host.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(condition, what, seconds=40):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@contextlib.contextmanager
def team(kind="local", **options):
    with tempfile.TemporaryDirectory() as directory:
        if kind == "local":
            place = Directory(directory)
        else:
            place = Bucket(CEPH, "workers")
            place.remove("repo")
        made = Team(directory, place, **options)
        try:
            yield made
        finally:
            made.stop()


def client(t, name="client"):
    gateway = Gateway(t.place)
    gateway.name = "repo"
    return PythonTuf(gateway.url, t.root, t.directory / name), gateway


def the_basic_workflow_has_each_step_in_its_order():
    for kind in ["local", "s3"]:
        with team(kind) as t:
            t.start()
            for name, host in t.hosts.items():
                held = sorted(path.name for path in (host.home / "keys").glob("*.pem"))
                assert held == sorted({"identity.pem", *({f"{name}.pem"} if name in t.ROLES else {"targets.pem"} if name == "standby" else set())}), (name, held)
            t.package(1), t.package(2)
            done = t.ci.run("add-targets", "packages", "--sign")
            steps = [line for line in done.stderr.splitlines() if "signed (" in line or "visible" in line]
            assert steps == ["targets signed (version 2)", "snapshot signed (version 2)", "timestamp signed (version 2)", "visible to clients"], done
            tool = t.ci.home / "dist/any-any/bin/tool"
            tool.parent.mkdir(parents=True)
            tool.write_text("#!/bin/sh\n")
            (t.ci.home / "trdl_channels.yaml").write_text('groups:\n- name: "1"\n  channels:\n  - {name: stable, version: 1.0.0}\n')
            t.ci.publish("release", "1.0.0", "--from", "dist", "--channels")
            assert "nothing to do" in t.ci.publish("add-targets", "packages", "--sign")
            t.ci.publish("bins", "--count", "4", "--not-for-trdl", "--confirm", "4")
            t.package(2, "second edition")
            t.ci.publish("add-targets", "packages")
            t.ci.publish("remove-targets", "packages/p1.zip", "--confirm", "1")
            t.ci.fails(5, "channels point at it", "yank", "1.0.0")
            assert "good: 0 errors" in t.ci.publish("verify")
            python, gateway = client(t)
            python.reads(gateway.targets())
            python.reads({"packages/p2.zip": {"hashes": {"sha256": hashlib.sha256(b"second edition").hexdigest()}}})
            # Roles that are due are signed again, from a host that holds no key.
            assert "nothing is due" in t.hosts["monitor"].publish("refresh")
            # A service that is stopped finishes its work and exits with 0.
            for role in t.ROLES:
                process = t.hosts[role].processes[0]
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0 and t.hosts[role].events("stopped"), role


def a_restored_backup_continues_above_what_clients_have_seen():
    """As docs/recovery.md describes for workers: they refuse the old copy, and continue above the versions that they or the operator know."""
    for remembered in [True, False]:
        with team() as t:
            t.start()
            repo, backup = t.directory / "repo", t.directory / "backup"
            t.package(1)
            t.ci.publish("add-targets", "packages")
            shutil.copytree(repo, backup)
            for number in range(2, 5):
                t.package(number)
                t.ci.publish("add-targets", "packages")
            python, gateway = client(t)
            seen = python.reads(gateway.targets())
            shutil.rmtree(repo)
            shutil.copytree(backup, repo)
            t.ci.fails(9, "older state than this publisher has seen", "add-targets", "packages")
            (t.ci.home / ".publish-state.json").unlink()
            # Whoever forgot what it saw is stopped by the workers, each of which remembers.
            t.ci.fails(9, "older state than this publisher has seen", "refresh", "--all")
            t.stop()
            if not remembered:
                for role in t.ROLES:
                    (t.hosts[role].home / ".publish-state.json").unlink()
            for role in t.ROLES:
                t.hosts[role].processes.clear(), (t.hosts[role].home / "log").unlink()
                t.hosts[role].start("worker", role, *(["--accept-rollback"] if remembered else ["--versions-above", "700"]))
                until(lambda: t.hosts[role].events("ready"), f"the {role} worker is ready")
            t.ci.fails(6, "they choose the versions", "refresh", "--all", "--versions-above", "700", "--confirm", "700")
            t.ci.publish("refresh", "--all", "--accept-rollback")
            now = python.reads(gateway.targets())
            assert now > (seen if remembered else 700), (seen, now)
            # No number that clients may hold is used for something else.
            lowest = min(role["version"] for role in json.loads(t.ci.publish("status", "--json"))["status"]["roles"][1:])
            assert lowest > (100 if remembered else 700), lowest
            # What the backup lacks comes again, by workers as they are every day.
            t.stop()
            for role in t.ROLES:
                t.hosts[role].processes.clear(), (t.hosts[role].home / "log").unlink()
            t.start()
            t.ci.publish("add-targets", "packages")
            python.reads(gateway.targets())
            assert "good: 0 errors" in t.ci.publish("verify")


def due_roles_are_refreshed_through_the_workers():
    with team() as t:
        t.start()
        # Everything but the clock is real: the workers and the caller run five hours, then 30 days later.
        for ahead, roles in [("+5h", ["timestamp"]), ("+30d", ["targets", "snapshot", "timestamp"])]:
            for role in t.ROLES:
                os.killpg(t.hosts[role].processes.pop().pid, signal.SIGKILL)
                (t.hosts[role].home / "log").unlink()
                log = open(t.hosts[role].home / "log", "a")
                t.hosts[role].processes.append(subprocess.Popen(["faketime", "-f", ahead, PUBLISH, "worker", role, "--json"], cwd=t.hosts[role].home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True))
            done = subprocess.run(["faketime", "-f", ahead, PUBLISH, "refresh", "--json"], cwd=t.hosts["monitor"].home, capture_output=True, text=True, timeout=90)
            assert done.returncode == 0, done
            assert [due["role"] for due in json.loads(done.stdout)["plan"]["due"]] == roles, done.stdout


def tls_wants_both_certificates():
    tls = SERVERS / "rabbitmq/tls"
    good = f"broker_ca: {tls}/ca.pem\nbroker_certificate: {tls}/client.pem\nbroker_key: {tls}/client.key\n"
    with team(broker=TLS, more=good) as t:
        t.start()
        t.package(1)
        t.ci.publish("add-targets", "packages")
        for more, words in [(good.replace("ca.pem", "stranger.pem"), "certificate verify failed"), (good.splitlines()[0] + "\n", "the broker")]:
            t.more = more
            t.configure("ci", patience=3)
            t.package(2)
            t.ci.fails(13, words, "add-targets", "packages")
        t.more = good
        for broker, words in [("amqp://example.org", "travel in clear"), (f"amqp://guest:guest@127.0.0.1:{PORT}", "contains a password"), ("http://127.0.0.1", "is not an AMQP URL")]:
            t.broker = broker
            t.configure("ci")
            said = t.ci.fails(6, words, "add-targets", "packages")
            assert "guest:guest" not in said
        t.broker = PLAIN
        t.more = ""
        t.configure("ci", patience=3)
        said = t.ci.fails(13, "the broker", "add-targets", "packages", env={"PUBLISH_BROKER_PASSWORD": "wrong-secret"})
        assert "wrong-secret" not in said, said


class Forger:
    """Somebody who can write to the broker and the state store."""

    def __init__(self, t, key=None):
        self.t = t
        self.key = key or Ed25519PrivateKey.generate()
        root = json.loads(t.root)["signed"]
        canonical = json.dumps(root, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.repository = hashlib.sha256(canonical).hexdigest()
        self.channel = pika.BlockingConnection(pika.ConnectionParameters(port=PORT)).channel()

    def queue(self, role):
        return f"publish.{self.repository[:16]}.{role}"

    def request(self, changes, **fields):
        identity = os.urandom(16).hex()
        body = json.dumps({"schema": 1, "changes": changes, "conditions": [], "renewals": [], "rebin": None}).encode()
        requests = self.t.directory / "shared/requests"
        requests.mkdir(parents=True, exist_ok=True)
        (requests / f"{identity}.json").write_bytes(body)
        until = (datetime.now(timezone.utc) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        ask = {"for": "targets", "changes": {"sha256": hashlib.sha256(body).hexdigest(), "length": len(body)}}
        return {"schema": 1, "id": identity, "repository": self.repository, "sender": "ci", "not_after": until, "ask": ask, **fields}

    def seal(self, request):
        payload = json.dumps(request)
        return json.dumps({"payload": payload, "signature": self.key.sign(DOMAIN + payload.encode()).hex()}).encode()

    def send(self, message, role="targets", identity="00"):
        self.channel.basic_publish("", self.queue(role), message, pika.BasicProperties(delivery_mode=2, message_id=identity))

    def dead(self):
        letters = json.loads(self.t.ci.publish("queue", "--json"))["queue"]["dead"]
        return {letter["id"]: letter["reason"] for letter in letters}


def sender_key(host):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    return load_pem_private_key((host.home / "keys/identity.pem").read_bytes(), None)


def what_is_forged_outdated_or_misdirected_is_refused_and_logged():
    with team() as t:
        t.start()
        t.package(1)
        t.ci.publish("add-targets", "packages")
        before = t.place.read("repo", "timestamp.json")
        stranger, insider = Forger(t), Forger(t, sender_key(t.ci))
        content = {"hashes": {"sha256": "00" * 32}, "length": 3}
        addition = [{"name": "packages/evil.zip", "replaces": None, "becomes": content, "keep_existing": False}]
        day = lambda hours: (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        upper = {"for": "timestamp", "base": {"version": 2, "sha256": "00" * 32}, "snapshot": None}
        bad = {
            "rubbish": (b"\x00rubbish", "targets", "not a signed request"),
            "forged": (stranger.seal(stranger.request(addition)), "targets", "names `ci`, but is not signed by it"),
            "unknown": (stranger.seal(stranger.request(addition, sender="mallory")), "targets", "which is not a known sender"),
            "outdated": (insider.seal(insider.request(addition, not_after=day(-1))), "targets", "was valid until"),
            "for-ever": (insider.seal(insider.request(addition, not_after=day(100))), "targets", "more than 24 hours"),
            "elsewhere": (insider.seal(insider.request(addition, repository="ab" * 32)), "targets", "another repository"),
            "misdirected": (insider.seal(insider.request(addition)), "snapshot", "this one signs snapshot only"),
            "upper": (insider.seal(insider.request(addition, ask=upper)), "targets", "is for the timestamp worker"),
            "oversized": (b" " * (2 << 20), "targets", "no more than 1048576 are read"),
            "bad-id": (insider.seal(insider.request(addition, id="../../etc")), "targets", "is not a request id"),
        }
        for identity, (message, role, _) in bad.items():
            insider.send(message, role, identity)
        until(lambda: len(insider.dead()) == len(bad), "all are among the dead letters")
        for identity, reason in insider.dead().items():
            assert bad[identity][2] in reason, (identity, reason)
            assert any(event["request"] == identity and bad[identity][2] in event["why"] for event in t.hosts[bad[identity][1]].events("refused")), identity
        # Genuine requests that exceed their rights are answered, and do not become dead letters.
        result = lambda request: json.loads((t.directory / f"shared/results/{request['id']}.json").read_text())
        published = json.loads(t.place.read("repo", "2.targets.json"))["signed"]["targets"]["packages/p1.zip"]
        change = lambda name, replaces=None, becomes=content: [{"name": name, "replaces": replaces, "becomes": becomes, "keep_existing": False}]
        for changes, words in [
            (addition, "missing or differs from the request"),
            (change("other/x"), "this sender has no right to change target other/x"),
            (change("packages/../x"), "`..`"),
            (change("packages/p1.zip", published, {**content, "length": 1 << 33}), "signs"),
            ([{**change("packages/x")[0], "name": f"packages/x{number}"} for number in range(10_001)], "10001 targets in one request"),
            (change("packages/p1.zip", {**published, "length": 1}, None), "was changed by another publisher"),
            (change("channels/1/stable"), "which is not released"),
        ]:
            request = insider.request(changes)
            insider.send(insider.seal(request))
            until(lambda: (t.directory / f"shared/results/{request['id']}.json").exists(), f"an answer about {words}")
            assert words in result(request)["message"], (words, result(request))
        # A change set that was exchanged after it was signed for.
        request = insider.request(addition)
        (t.directory / f"shared/requests/{request['id']}.json").write_text("{}")
        insider.send(insider.seal(request), identity=request["id"])
        until(lambda: request["id"] in insider.dead(), "the exchanged change set")
        # The same request again gets the recorded answer, and changes nothing.
        t.package(2)
        t.ci.publish("add-targets", "packages")
        sealed = max((t.directory / "shared/requests").glob("*.sealed.json"), key=lambda path: path.stat().st_mtime)
        now = t.place.read("repo", "timestamp.json")
        t.ci.publish("remove-targets", "packages/p2.zip", "--confirm", "1")
        removed = t.place.read("repo", "timestamp.json")
        insider.send(sealed.read_bytes())
        time.sleep(2)
        assert t.place.read("repo", "timestamp.json") == removed != now != before
        # Requeued, they are judged again; dropped, they are gone.
        letters = len(insider.dead())
        # Of the oversized one only the beginning is kept.
        assert f"{letters - 1} dead letters requeued" in t.ci.publish("queue", "requeue", "--all")
        until(lambda: len(insider.dead()) == letters, "they are back")
        assert f"{letters} dead letters removed" in t.ci.publish("queue", "drop", "--all", "--confirm", str(letters))
        assert insider.dead() == {}


def no_worker_signs_what_it_did_not_verify():
    """An attacker controls the targets worker: with its keys they can write targets, but not have anything listed without a request."""
    with team() as t:
        t.start("snapshot", "timestamp")
        # The attacker signs another targets role with the real key, and requests that the snapshot worker lists it.
        attacker = t.directory / "attacker"
        shutil.copytree(t.hosts["targets"].home, attacker)
        role = json.loads(t.place.read("repo", "1.targets.json"))["signed"]
        role["version"] = 2
        role["targets"]["packages/evil.zip"] = {"hashes": {"sha256": "00" * 32}, "length": 3}
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        key = load_pem_private_key((attacker / "keys/targets.pem").read_bytes(), None)
        canonical = json.dumps(role, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        keyid = json.loads(t.root)["signed"]["roles"]["targets"]["keyids"][0]
        file = json.dumps({"signatures": [{"keyid": keyid, "sig": key.sign(canonical.encode()).hex()}], "signed": role}).encode()
        (t.directory / "repo/2.targets.json").write_bytes(file)
        forger = Forger(t, sender_key(t.hosts["targets"]))
        base = {"version": 1, "sha256": hashlib.sha256(t.place.read("repo", "timestamp.json")).hexdigest()}
        listed = [{"role": "targets", "file": {"version": 2, "sha256": hashlib.sha256(file).hexdigest()}}]
        ask = {"for": "snapshot", "base": base, "roles": listed, "fulfils": []}
        forger.send(forger.seal(forger.request([], sender="targets", ask=ask)), "snapshot")
        refused = lambda: [event["why"] for event in t.hosts["snapshot"].events("refused")]
        until(refused, "a refusal")
        assert "packages/evil.zip would change, which no request asks for" in refused()[0], refused()
        # A request that the attacker makes is not accepted: the targets host may request nothing but renewals.
        addition = [{"name": "packages/evil.zip", "replaces": None, "becomes": role["targets"]["packages/evil.zip"], "keep_existing": False}]
        pretext = forger.request(addition, sender="targets")
        (t.directory / f"shared/requests/{pretext['id']}.sealed.json").write_bytes(forger.seal(pretext))
        ask = {**ask, "fulfils": [pretext["id"]]}
        forger.send(forger.seal(forger.request([], sender="targets", ask=ask)), "snapshot")
        until(lambda: refused()[1:], "a refusal")
        assert "this sender has no right to request `publish`" in refused()[1], refused()
        # Nor is a genuine request that was about another state: it asks to replace what never stood there.
        insider = Forger(t, sender_key(t.ci))
        old = insider.request([{**addition[0], "replaces": {"hashes": {"sha256": "11" * 32}, "length": 3}}])
        (t.directory / f"shared/requests/{old['id']}.sealed.json").write_bytes(insider.seal(old))
        forger.send(forger.seal(forger.request([], sender="targets", ask={**ask, "fulfils": [old["id"]]})), "snapshot")
        until(lambda: refused()[2:], "a refusal")
        assert "packages/evil.zip would change, which no request asks for" in refused()[2], refused()
        # Nor does the timestamp worker show a snapshot that is not signed by the snapshot key.
        snapshot = {"for": "timestamp", "base": base, "snapshot": {"version": 1, "sha256": "00" * 32}}
        forger.send(forger.seal(forger.request([], sender="targets", ask=snapshot)), "timestamp")
        until(lambda: t.hosts["timestamp"].events("refused"), "a refusal")
        assert json.loads(t.place.read("repo", "timestamp.json"))["signed"]["version"] == 1


def attackers_get_no_further_than_the_docs_say():
    """Three attackers of docs/threat-model.md, one after the other: with the broker's credentials, with CI's identity (and so
    with the broker, the store and the state), and with the state store."""
    with team() as t:
        t.start()
        tool = t.ci.home / "dist/linux-amd64/bin/tool"
        tool.parent.mkdir(parents=True)
        tool.write_text("#!/bin/sh\n")
        (t.ci.home / "trdl_channels.yaml").write_text('groups:\n- name: "1"\n  channels:\n  - {name: stable, version: 1.0.0}\n')
        t.ci.publish("release", "1.0.0", "--from", "dist", "--channels")
        shared = t.directory / "shared"
        published = lambda: t.place.read("repo", "timestamp.json")
        signed = lambda path: json.loads((t.directory / "repo" / path).read_text())["signed"]
        targets = lambda: signed(f"{signed(str(signed('timestamp.json')['meta']['snapshot.json']['version']) + '.snapshot.json')['meta']['targets.json']['version']}.targets.json")["targets"]
        waiting = lambda: sum(queue["waiting"] for queue in json.loads(t.ci.publish("queue", "--json"))["queue"]["queues"][:3])

        # 1. The broker's credentials: a flood, real requests again and at other workers, huge messages. Honest callers are served.
        stranger, before = Forger(t), published()
        real = [path.read_bytes() for path in (shared / "requests").glob("*.sealed.json")]
        assert real
        for role in t.ROLES:
            for number in range(1500):
                stranger.channel.basic_publish("", stranger.queue(role), b"rubbish %d" % number, pika.BasicProperties(message_id=str(number), reply_to=stranger.queue(role)))
            for message in [*real, b"x" * (8 << 20)]:
                stranger.send(message, role)
        start = time.monotonic()
        t.package(1)
        t.ci.publish("add-targets", "packages")
        flood = time.monotonic() - start
        until(lambda: waiting() == 0, "the queues are empty")
        assert signed("timestamp.json")["version"] == json.loads(before)["signed"]["version"] + 1, "the real requests did nothing again"
        lines = sum(len((t.hosts[role].home / "log").read_text().splitlines()) for role in t.ROLES)
        assert lines < 150, f"{lines} lines of log"
        dead = json.loads(t.ci.publish("queue", "--json"))["queue"]["dead"]
        t.ci.publish("queue", "drop", "--all", "--confirm", str(len(dead)))

        # 2. CI's identity: every promise holds, other prefixes are refused, and no other worker signs without a request.
        insider = Forger(t, sender_key(t.ci))

        def stage(name, content):
            digest = hashlib.sha256(content).hexdigest()
            directory, _, file = name.rpartition("/")
            path = t.directory / "repo/targets" / directory / f"{digest}.{file}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return {"hashes": {"sha256": digest}, "length": len(content)}

        def ask(changes):
            request = insider.request([{"name": name, "replaces": targets().get(name), "becomes": becomes} for name, becomes in changes])
            insider.send(insider.seal(request), identity=request["id"])
            result = shared / f"results/{request['id']}.json"
            until(result.exists, "a result")
            return json.loads(result.read_text())["is"]

        old = targets()
        assert ask([("releases/1.0.0/linux-amd64/bin/evil", stage("releases/1.0.0/linux-amd64/bin/evil", b"evil"))]) == "refused"
        assert ask([("releases/1.0.0/linux-amd64/bin/tool", stage("releases/1.0.0/linux-amd64/bin/tool", b"evil"))]) == "refused"
        assert ask([(name, None) for name in old if "/1.0.0/" in name] + [("yanked/1.0.0", stage("yanked/1.0.0", b"1.0.0\n"))]) == "refused"
        assert ask([("channels/1/stable", stage("channels/1/stable", b"9.9.9\n"))]) == "refused"
        assert ask([("elsewhere/x", stage("elsewhere/x", b"x"))]) == "refused"
        # Content that exists at the first look only.
        name, content = "packages/vanishes.zip", b"vanishes"
        becomes = stage(name, content)
        (t.directory / "repo/targets/packages" / f"{becomes['hashes']['sha256']}.vanishes.zip").write_bytes(b"other")
        assert ask([(name, becomes)]) == "refused"
        assert targets() == old
        base = {"version": signed("timestamp.json")["version"], "sha256": hashlib.sha256(published()).hexdigest()}
        state = published()
        for role, request in [
            ("snapshot", {"for": "snapshot", "base": base, "roles": [{"role": "targets", "file": {"version": 1, "sha256": hashlib.sha256((t.directory / "repo/1.targets.json").read_bytes()).hexdigest()}}], "fulfils": []}),
            ("timestamp", {"for": "timestamp", "base": base, "snapshot": {"version": 1, "sha256": hashlib.sha256((t.directory / "repo/1.snapshot.json").read_bytes()).hexdigest()}}),
        ]:
            seen = len(t.hosts[role].events("refused"))
            insider.send(insider.seal(insider.request([], ask=request)), role)
            until(lambda: len(t.hosts[role].events("refused")) > seen, f"the {role} worker refuses to go back")
        assert published() == state

        # 3. The state store: results for every request that is or was, change sets and requests exchanged. A caller believes none.
        done = json.dumps({"is": "done", "changed": True, "snapshot": 1}).encode()
        stop = threading.Event()

        def forge():
            while not stop.is_set():
                for path in (shared / "requests").glob("*.json"):
                    identity = path.name.split(".")[0]
                    (shared / "results").mkdir(exist_ok=True)
                    with contextlib.suppress(OSError):
                        (shared / f"results/{identity}.json").write_bytes(done)
                time.sleep(0.001)

        thread = threading.Thread(target=forge, daemon=True)
        thread.start()
        t.configure("ci", patience=20)
        for number in range(2, 6):
            t.package(number)
            code = t.ci.run("add-targets", "packages").returncode
            assert code in (0, 13), code
            assert code != 0 or f"packages/p{number}.zip" in targets(), "a caller that succeeds has published"
        stop.set()
        thread.join()
        for path in (shared / "requests").iterdir():
            path.write_bytes(real[0])
        t.package(6)
        t.ci.publish("add-targets", "packages")
        assert "packages/p6.zip" in targets()
        assert "good: 0 errors" in t.ci.publish("verify")
        print(f"        served after {flood:.0f} s behind 4500 messages that nobody signed", flush=True)


def a_standby_takes_over_and_a_dead_caller_finds_its_answer():
    with team() as t:
        t.start()
        t.hosts["standby"].start("worker", "targets")
        until(lambda: t.hosts["standby"].events("ready"), "the standby is ready")
        t.package(1)
        t.ci.publish("add-targets", "packages")
        assert not t.hosts["standby"].events("done")
        t.hosts["targets"].processes[0].kill()
        t.package(2)
        t.ci.publish("add-targets", "packages")
        assert t.hosts["standby"].events("done")
        # Nobody serves: the caller waits, dies, and its request is carried out when a worker comes.
        t.hosts["standby"].processes[0].kill()
        t.package(3)
        caller = t.ci.start("add-targets", "packages")
        until(lambda: '"waiting": 1' in t.ci.publish("queue", "--json").replace('"waiting":1', '"waiting": 1'), "the request waits")
        caller.kill()
        t.start("targets")
        until(lambda: t.hosts["targets"].events("done")[1:], "it is carried out")
        assert "nothing to do" in t.ci.publish("add-targets", "packages")
        # Paused, nothing new starts; what was asked for before is done after.
        t.hosts["ci"].publish("pause", "--reason", "backup")
        t.package(4)
        t.ci.fails(5, "publishing is paused since", "add-targets", "packages")
        paused = t.ci.run("status")
        assert paused.returncode == 11 and paused.stdout.startswith("paused since"), paused.stdout
        t.ci.publish("resume")
        t.ci.publish("add-targets", "packages")


class Reading:
    """python-tuf clients that update all the time: one that follows, and new ones that start from root 1."""

    def __init__(self, t, wanted):
        self.t, self.wanted, self.faults, self.reads, self.done = t, wanted, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        follows, _ = client(self.t, "follows")
        while not self.done.is_set():
            try:
                new, _ = client(self.t, f"new-{self.reads}")
                for each in (follows, new):
                    each.reads(dict(self.wanted))
                self.reads += 1
            except Exception as error:
                self.faults.append(repr(error))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join()
        assert kind or (self.reads > 3 and not self.faults), (self.reads, self.faults[:3])


def the_targets_key_is_rotated_as_the_page_says():
    """docs/rotation.md, "With workers", step by step, with and without bins; clients read throughout."""
    for bins in [0, 4]:
        with team() as t:
            admin, worker = t.directory / "admin", t.hosts["targets"]

            def publish(*arguments, code=0, words=""):
                done = subprocess.run([PUBLISH, *map(str, arguments)], cwd=admin, capture_output=True, text=True, stdin=subprocess.DEVNULL)
                assert done.returncode == code and words in done.stderr + done.stdout, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
                return done.stdout

            def root(*edit, code=0, words=""):
                publish("root", "edit", *edit)
                publish("root", "sign", "--yes")
                publish("root", "commit", code=code, words=words)

            def restart(keys):
                for process in worker.processes:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                worker.processes.clear(), (worker.home / "log").unlink()
                config = (worker.home / "publish.yaml").read_text().split("keys:\n")[0]
                (worker.home / "publish.yaml").write_text(f"{config}keys:\n  targets: {keys}\n")
                t.start("targets")

            def package(number):
                path = t.package(number)
                t.ci.publish("add-targets", "packages")
                wanted[f"packages/p{number}.zip"] = {"hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}

            wanted = {}
            t.start()
            package(1), package(2)
            if bins:
                t.ci.publish("bins", "--count", bins, "--not-for-trdl", "--confirm", bins)
            with Reading(t, wanted):
                old = json.loads(worker.publish("key", "show", "keys/targets.pem", "--json"))["key_id"]
                # 1: the new key, at the worker.
                worker.publish("key", "new", "keys/targets-2.pem", "--no-passphrase")
                (admin / "targets-2.pub").write_text(worker.publish("key", "export", "keys/targets-2.pem"))
                # 2: the root that adds it, where no online key is.
                root("--add-key", "targets=targets-2.pub")
                package(3)
                # Step 4 before step 3 is refused; the draft is put away.
                root("--remove-key", f"targets={old}", code=5, words="with root 3, clients would refuse the published targets")
                (admin / "root-draft.json").unlink()
                # 3: both keys at the worker, then everything signed by both.
                restart("[file:keys/targets.pem, file:keys/targets-2.pem]")
                t.hosts["monitor"].publish("refresh", "--all")
                package(4)
                # 4: the root that drops the old key.
                root("--remove-key", f"targets={old}")
                package(5)
                # 5: the new key only; the bins forget the old one.
                restart("file:keys/targets-2.pem")
                (worker.home / "keys/targets.pem").unlink()
                package(6)
                t.hosts["monitor"].publish("refresh")
                package(7)
                assert "nothing is due" in t.hosts["monitor"].publish("refresh")
                if bins:
                    version = lambda path: int(path.name.split(".")[0])
                    newest = lambda role: max((t.directory / "repo").glob(f"[0-9]*.{role}.json"), key=version)
                    for role in ["targets", "bins"]:
                        assert old not in newest(role).read_text(), f"{role} still names the old key"
                assert "good: 0 errors" in t.ci.publish("verify")


class Watcher(threading.Thread):
    """Real clients that update all the time, and an observer that records the content of every file under every version."""

    def __init__(self, t, acknowledged):
        super().__init__(daemon=True)
        self.t, self.acknowledged = t, acknowledged
        self.client, self.gateway = client(t, "watcher")
        self.faults, self.reads, self.seen, self.done = [], 0, {}, threading.Event()

    def note(self, path, content):
        if content is None:
            return
        signed = json.loads(content)["signed"]
        key = (signed["_type"], path, signed["version"])
        if self.seen.setdefault(key, content) != content:
            self.faults.append(f"two different objects under {key}")

    def run(self):
        newest = 0
        while not self.done.is_set():
            try:
                name = random.choice(list(self.acknowledged) or [None])
                version = self.client.reads({name: self.acknowledged[name]} if name else None)
                if version < newest:
                    self.faults.append(f"the timestamp went back from {newest} to {version}")
                newest = version
                timestamp = self.t.place.read("repo", "timestamp.json")
                self.note("timestamp.json", timestamp)
                snapshot = json.loads(timestamp)["signed"]["meta"]["snapshot.json"]["version"]
                file = self.t.place.read("repo", f"{snapshot}.snapshot.json")
                self.note("snapshot.json", file)
                for path, listed in json.loads(file)["signed"]["meta"].items():
                    self.note(path, self.t.place.read("repo", f"{listed['version']}.{path}"))
                self.reads += 1
            except Exception as error:
                self.faults.append(repr(error))


class Killer(threading.Thread):
    """Kills services and starts them again, in an order and at moments of chance but each once a round, and now and then
    the broker."""

    def __init__(self, t, services, seed):
        super().__init__(daemon=True)
        self.t, self.services, self.chance = t, services, random.Random(seed)
        self.kills, self.done = dict.fromkeys([*services, "broker"], 0), threading.Event()

    def run(self):
        broker, left = time.monotonic() + 4, []
        while not self.done.wait(self.chance.uniform(0.2, 1.2)):
            left = left or self.chance.sample(list(self.services), len(self.services))
            name = left.pop()
            host = self.t.hosts[name]
            process = host.processes.pop()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.kills[name] += 1
            if time.monotonic() > broker:
                rabbitmq("kill")
                self.kills["broker"] += 1
                rabbitmq("up")
                broker = time.monotonic() + 15
            host.start(*self.services[name])


def the_workflow_with_the_monitor_needs_no_credential_in_the_pipeline():
    for kind in ["local", "s3"]:
        with team(kind) as t:
            t.start()
            t.hosts["monitor"].start("monitor")
            until(lambda: t.hosts["monitor"].events("ready"), "the monitor is ready")
            assert not list((t.hosts["monitor"].home / "keys").glob("[!i]*.pem")), "the monitor holds no key of a role"
            t.upload("100", {"p1.zip": b"package 1", "p1.json": b"{}"})
            t.upload("101", {"p2.zip": b"package 2"})
            t.upload("102", {"bad%name": b"x"})
            until(lambda: t.dropped() == ["tuf_failed_102", "tuf_failed_102.txt"], "all but one are published")
            python, gateway = client(t)
            assert sorted(gateway.targets()) == ["packages/p1.json", "packages/p1.zip", "packages/p2.zip"]
            python.reads(gateway.targets())
            # A worker's refusal is about the upload: its policy knows this sender by other names only.
            t.configure("monitor")
            config = (t.hosts["monitor"].home / "publish.yaml").read_text()
            (t.hosts["monitor"].home / "publish.yaml").write_text(config.replace('"prefix": "packages"', '"prefix": "elsewhere"'))
            t.hosts["monitor"].processes[-1].send_signal(signal.SIGHUP)
            until(lambda: t.hosts["monitor"].events("reloaded"), "it has read its config")
            t.upload("103", {"p3.zip": b"package 3"})
            until(lambda: "tuf_failed_103.txt" in t.dropped(), "the refused upload is set aside")
            assert "this sender has no right to change target elsewhere/p3.zip" in (t.directory / "box/tuf_failed_103.txt").read_text()


def nothing_is_lost(kind, commits, seed, callers=6):
    chance = random.Random(seed)
    with team(kind) as t:
        services = {"targets": ["worker", "targets"], "standby": ["worker", "targets"], "snapshot": ["worker", "snapshot"], "timestamp": ["worker", "timestamp"], "monitor": ["monitor"]}
        for name, arguments in services.items():
            t.hosts[name].start(*arguments)
        acknowledged, killed, numbers, lock = {}, [0], iter(range(commits)), threading.Lock()
        watcher, killer = Watcher(t, acknowledged), Killer(t, services, seed)
        watcher.start(), killer.start()

        def call(caller):
            home = t.ci.home / f"caller-{caller}"
            home.mkdir()
            for name in ["keys", "publish.yaml"]:
                (home / name).symlink_to(t.ci.home / name)
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                content = f"package {number} {seed}".encode()
                path = home / f"packages/p{number}.zip"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                if number % 4 == 0:
                    # One in four comes without a credential.
                    t.upload(f"{number}", {f"p{number}.zip": content})
                    until(lambda: not [name for name in t.dropped() if name.endswith(f"_{number}")], f"upload {number} is published", 120)
                    acknowledged[f"packages/p{number}.zip"] = {"hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
                    continue
                for _ in range(40):
                    process = subprocess.Popen([PUBLISH, "add-targets", path.relative_to(home)], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    if chance.random() < 0.2:
                        time.sleep(chance.random() * 0.6)
                        process.kill()
                        killed[0] += 1
                        process.communicate()
                        continue
                    said, _ = process.communicate(timeout=200)
                    if process.returncode == 0:
                        acknowledged[f"packages/p{number}.zip"] = {"hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
                        break
                    assert process.returncode == 13, said
                else:
                    watcher.faults.append(f"package {number} was never published")

        threads = [threading.Thread(target=call, args=[caller]) for caller in range(callers)]
        start = time.monotonic()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        seconds = time.monotonic() - start
        killer.done.set()
        killer.join()
        watcher.done.set()
        watcher.join()
        until(lambda: all(queue["waiting"] == 0 for queue in json.loads(t.ci.publish("queue", "--json"))["queue"]["queues"]), "the queues are empty")
        assert t.dropped() == [], "no directory is stuck"
        fresh, _ = client(t, "fresh")
        fresh.reads(acknowledged)
        assert "good: 0 errors" in t.ci.publish("verify")
        print(f"        {kind}: {len(acknowledged)} of {commits} commits in {seconds:.0f} s, callers killed {killed[0]} times, {killer.kills}, {watcher.reads} reads, seed {seed}", flush=True)
        assert len(acknowledged) == commits and not watcher.faults, watcher.faults[:5]
        assert all(killer.kills.values()), killer.kills


def nothing_is_lost_on_a_directory_while_everything_is_killed():
    nothing_is_lost("local", 200, int(os.environ.get("SEED", time.time())))


def nothing_is_lost_on_s3_while_everything_is_killed():
    nothing_is_lost("s3", 200, int(os.environ.get("SEED", time.time())))


SCENARIOS = [
    the_basic_workflow_has_each_step_in_its_order,
    a_restored_backup_continues_above_what_clients_have_seen,
    due_roles_are_refreshed_through_the_workers,
    tls_wants_both_certificates,
    what_is_forged_outdated_or_misdirected_is_refused_and_logged,
    no_worker_signs_what_it_did_not_verify,
    attackers_get_no_further_than_the_docs_say,
    a_standby_takes_over_and_a_dead_caller_finds_its_answer,
    the_targets_key_is_rotated_as_the_page_says,
    the_workflow_with_the_monitor_needs_no_credential_in_the_pipeline,
    nothing_is_lost_on_a_directory_while_everything_is_killed,
    nothing_is_lost_on_s3_while_everything_is_killed,
]

scenarios.run("workers", SCENARIOS)
