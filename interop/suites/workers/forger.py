"""An attacker who can write to the broker and the state store."""

import hashlib
import json
import os
from datetime import datetime, timedelta, timezone

import pika
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

DOMAIN = b"publish signing request, version 1\n"


def sender_key(host):
    return load_pem_private_key((host.home / "keys/identity.pem").read_bytes(), None)


class Forger:
    """Writes to the broker and the state store of a team."""

    def __init__(self, t, key=None):
        self.t = t
        self.key = key or Ed25519PrivateKey.generate()
        root = json.loads(t.root)["signed"]
        canonical = json.dumps(root, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.repository = hashlib.sha256(canonical).hexdigest()
        self.channel = pika.BlockingConnection(pika.ConnectionParameters(port=t.rabbitmq.port)).channel()

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
