"""A real Vault, and a slow way to it."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from programs import ROOT
from web import Handler, Server, free_port

VAULT, GUIDE = os.environ["VAULT"], ROOT / "docs/keys.md"


class Vault:
    """A server with a transit engine and AppRole, and what its administrator does."""

    def __init__(self, directory, *tls):
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.ca = tls[0] if tls else None
        log = open(directory / "vault.log", "w")
        self.process = subprocess.Popen([VAULT, f"127.0.0.1:{self.port}", *tls], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.root = None
        for _ in range(300):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            time.sleep(0.1)
        made = self.call("PUT", "sys/init", secret_shares=1, secret_threshold=1)
        self.root, self.share = made["root_token"], made["keys"][0]
        self.unseal()
        self.call("POST", "sys/mounts/transit", type="transit")
        self.call("POST", "sys/auth/approle", type="approle")

    def call(self, method, path_, token=None, **body):
        request = urllib.request.Request(f"{self.url}/v1/{path_}", method=method, data=json.dumps(body).encode() if body else None)
        if token or self.root:
            request.add_header("X-Vault-Token", token or self.root)
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return json.loads(answer.read() or b"{}")

    def seal(self):
        self.call("PUT", "sys/seal")

    def unseal(self):
        self.call("PUT", "sys/unseal", key=self.share)
        for _ in range(300):
            with contextlib.suppress(urllib.error.HTTPError):
                if not self.call("GET", "sys/health")["sealed"]:
                    return
            time.sleep(0.1)
        raise AssertionError("Vault does not come back")

    def keys(self, **kinds):
        """Makes keys by name, of these types, and gives the policy of the guide for them."""
        for name, kind in kinds.items():
            self.call("POST", f"transit/keys/{name}", type=kind)
        block = GUIDE.read_text().split("The policy needs:")[1].split("```")[1]
        policy = "\n".join(block.replace("acme-targets", name) for name in kinds)
        self.call("PUT", "sys/policies/acl/publisher", policy=policy)

    def token(self, **options):
        return self.call("POST", "auth/token/create", policies=["publisher"], no_default_policy=False, **options)["auth"]["client_token"]

    def role(self, **options):
        self.call("POST", "auth/approle/role/publisher", token_policies=["publisher"], **options)
        return self.call("GET", "auth/approle/role/publisher/role-id")["data"]["role_id"], self.secret_id()

    def secret_id(self):
        return self.call("POST", "auth/approle/role/publisher/secret-id")["data"]["secret_id"]


class Slow(Server):
    """A way to Vault on which every request takes a while, and is counted."""

    def __init__(self, vault, delay):
        self.paths = []
        slow = self

        class Forward(Handler):
            def forward(self):
                time.sleep(delay)
                slow.paths.append(self.path)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length", "connection")}
                request = urllib.request.Request(vault.url + self.path, method=self.command, data=self.body() or None, headers=headers)
                try:
                    answer = urllib.request.urlopen(request, timeout=30)
                except urllib.error.HTTPError as error:
                    answer = error
                self.answer(answer.status, answer.read())

            do_GET = do_POST = do_PUT = forward

        super().__init__(Forward)
