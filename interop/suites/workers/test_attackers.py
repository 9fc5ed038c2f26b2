"""Attackers with credentials of the broker, of CI, of a worker and of the state store, and a connection without certificates."""

import contextlib
import hashlib
import json
import shutil
import threading
import time
from datetime import datetime, timedelta, timezone

import pika
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from suites.workers.forger import Forger, sender_key
from suites.workers.team import until


def test_tls_wants_both_certificates(team, rabbitmq):
    tls = rabbitmq.directory / "tls"
    good = f"broker_ca: {tls}/ca.pem\nbroker_certificate: {tls}/client.pem\nbroker_key: {tls}/client.key\n"
    t = team(broker=rabbitmq.tls, more=good)
    t.start()
    t.package(1)
    t.ci.publish("add-targets", "packages")
    for more, words in [(good.replace("ca.pem", "stranger.pem"), "certificate verify failed"), (good.splitlines()[0] + "\n", "the broker")]:
        t.more = more
        t.configure("ci", patience=3)
        t.package(2)
        t.ci.fails(13, words, "add-targets", "packages")
    t.more = good
    for broker, words in [("amqp://example.org", "travel in clear"), (f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}", "contains a password"), ("http://127.0.0.1", "is not an AMQP URL")]:
        t.broker = broker
        t.configure("ci")
        said = t.ci.fails(6, words, "add-targets", "packages")
        assert "guest:guest" not in said
    t.broker = rabbitmq.plain
    t.more = ""
    t.configure("ci", patience=3)
    said = t.ci.fails(13, "the broker", "add-targets", "packages", env={"PUBLISH_BROKER_PASSWORD": "wrong-secret"})
    assert "wrong-secret" not in said, said


def test_forged_outdated_and_misdirected_requests_are_refused(team):
    t = team()
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


def test_workers_sign_only_what_they_verified(team):
    """An attacker controls the targets worker: with its keys they can write targets, but not have anything listed without a request."""
    t = team()
    t.start("snapshot", "timestamp")
    # The attacker signs another targets role with the real key, and requests that the snapshot worker lists it.
    attacker = t.directory / "attacker"
    shutil.copytree(t.hosts["targets"].home, attacker)
    role = json.loads(t.place.read("repo", "1.targets.json"))["signed"]
    role["version"] = 2
    role["targets"]["packages/evil.zip"] = {"hashes": {"sha256": "00" * 32}, "length": 3}
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


def test_attackers_get_no_further_than_documented(team, note):
    """Three attackers of docs/threat-model.md, one after the other: with the broker's credentials, with CI's identity (and so
    with the broker, the store and the state), and with the state store."""
    t = team()
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
    note(f"served after {flood:.0f} s behind 4500 messages that nobody signed")
