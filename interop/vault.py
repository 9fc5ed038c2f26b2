"""Scenarios of keys in a real Vault; started by `interop/vault`, which builds the server."""

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import scenarios
from places import Directory
from clients import Gateway, PythonTuf

PUBLISH, VAULT = os.environ["PUBLISH"], os.environ["VAULT"]
GUIDE = Path("../docs/keys.md")


class Vault:
    """A server with a transit engine and AppRole, and what its administrator does."""

    def __init__(self, directory, *tls):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
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
        import ssl

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


class Slow:
    """A way to Vault on which every request takes a while, and is counted."""

    def __init__(self, vault, delay):
        self.paths = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def handle_one(self):
                time.sleep(delay)
                outer.paths.append(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length", "connection")}
                request = urllib.request.Request(vault.url + self.path, method=self.command, data=body or None, headers=headers)
                try:
                    answer = urllib.request.urlopen(request, timeout=30)
                except urllib.error.HTTPError as error:
                    answer = error
                content = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = handle_one

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Publisher:
    """A publisher whose online keys and OpenPGP key are in Vault."""

    def __init__(self, home, vault, **env):
        self.home, self.secrets = home, []
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("VAULT")} | {"VAULT_ADDR": vault.url}
        if vault.ca:
            self.env["VAULT_CACERT"] = str(vault.ca)
        self.set(**env)
        (home / "dist/linux-amd64/bin").mkdir(parents=True)
        (home / "dist/linux-amd64/bin/acme").write_text("one")
        (home / "publish.yaml").write_text(
            "name: acme\nrepo: repo\nkeys:\n" + "".join(f"  {role}: vault:{role}\n" for role in ["targets", "snapshot", "timestamp"])
            + "openpgp: vault:openpgp\nopenpgp_certificate: cert.asc\n"
        )

    def set(self, **env):
        for name, value in env.items():
            self.env.pop(name, None)
            if value is not None:
                self.env[name] = value
                self.secrets += [value] if name in ("VAULT_TOKEN", "VAULT_SECRET_ID") else []

    def run(self, *arguments, timeout=300):
        done = subprocess.run([PUBLISH, *arguments], cwd=self.home, env=self.env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert not any(secret in done.stdout + done.stderr for secret in self.secrets), f"a secret is in the output of {arguments}"
        return done

    def publish(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, code, words, *arguments):
        done = self.run(*arguments)
        assert done.returncode == code and words in done.stderr, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"

    def init(self):
        self.publish("key", "certify", "vault:openpgp", "cert.asc", "--user-id", "acme releases")
        self.publish("init", "--no-passphrase")

    def release(self, version):
        return self.publish("release", version, "--from", "dist")

    def versions(self):
        return [role["version"] for role in json.loads(self.publish("status", "--json"))["status"]["roles"]]

    def is_read(self, version):
        """By python-tuf, whole, and by gpg with nothing but the published certificate."""
        gateway = Gateway(Directory(self.home))
        gateway.name = "repo"
        client = PythonTuf(gateway.url, (self.home / "repo/1.root.json").read_bytes(), self.home / f"client-{version}")
        client.reads({name: entry for name, entry in gateway.targets().items() if "+" not in name})
        ring = self.home / "ring"
        shutil.rmtree(ring, ignore_errors=True)
        ring.mkdir(mode=0o700)
        gpg = ["gpg", "--batch", "--quiet", "--homedir", str(ring)]
        subprocess.run([*gpg, "--import", "cert.asc"], cwd=self.home, check=True, capture_output=True)
        name = f"{version}/linux-amd64/bin/acme"
        said = subprocess.run(
            [*gpg, "--verify", f"repo/targets/signatures/{name}.sig", f"repo/targets/releases/{name}"], cwd=self.home, capture_output=True, text=True
        )
        assert said.returncode == 0 and "Good signature" in said.stderr, said
        subprocess.run(["gpgconf", "--homedir", str(ring), "--kill", "all"], check=False)


@contextlib.contextmanager
def server(*tls_names):
    """A directory and a Vault in it, with TLS for these names."""
    with tempfile.TemporaryDirectory() as directory:
        directory, tls = Path(directory), []
        if tls_names:
            tls = [str(directory / "tls.pem"), str(directory / "tls.key")]
            names = ",".join(tls_names)
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=vault",
                 "-addext", f"subjectAltName={names}", "-keyout", tls[1], "-out", tls[0]], check=True, capture_output=True)
        vault = Vault(directory, *tls)
        try:
            yield directory, vault
        finally:
            vault.process.kill()
            vault.process.wait()


def home(directory, name):
    path = directory / name
    path.mkdir()
    return path


def every_kind_of_key_signs_over_tls():
    """With the guide's policy and nothing more, through TLS of an authority that only VAULT_CACERT names."""
    with server("IP:127.0.0.1") as (directory, vault):
        for kind in ["ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"]:
            vault.call("POST", f"sys/mounts/{kind}", type="transit")
            vault.keys(targets=kind, snapshot="ecdsa-p256", timestamp="rsa-2048", openpgp=kind)
            p = Publisher(home(directory, kind), vault, VAULT_TOKEN=vault.token())
            said = p.publish("key", "check", "vault:targets")
            assert "roles:   signs, verified" in said and "OpenPGP: signs, verified" in said, said
            # Vault bounds the texts in a request, and Ed25519 must see all of a role.
            assert ("but none of a megabyte" in said) == (kind == "ed25519"), said
            p.init()
            p.release("1.0.0")
            assert "1 OpenPGP signature checked" in p.publish("verify")
            assert "preview" not in p.publish("status")
            p.is_read("1.0.0")
            for name in ["targets", "snapshot", "timestamp", "openpgp"]:
                vault.call("POST", f"transit/keys/{name}/config", deletion_allowed=True)
                vault.call("DELETE", f"transit/keys/{name}")
        p.set(VAULT_CACERT=None)
        p.fails(13, "Vault does not answer", "release", "1.0.1", "--from", "dist")


def a_key_that_cannot_sign_roles_is_named():
    with server() as (directory, vault):
        vault.keys(a="ecdsa-p384", b="aes256-gcm96", c="ed25519")
        p = Publisher(home(directory, "p"), vault, VAULT_TOKEN=vault.token())
        p.fails(6, "is a key of type `ecdsa-p384`", "key", "check", "vault:a")
        p.fails(6, "is a key of type `aes256-gcm96`", "key", "check", "vault:b")
        p.publish("key", "check", "vault:c")
        p.fails(7, "has no version 2", "key", "show", "vault:c@2")
        # What the policy does not name is refused like what does not exist: by the token's rights.
        p.fails(4, "the token may not use the key", "key", "show", "vault:nothing")
        p.set(VAULT_TOKEN=vault.root)
        p.fails(7, "no such key or mount", "key", "show", "vault:nothing")
        p.fails(7, "no such key or mount", "key", "show", "vault:elsewhere/c")


def a_role_too_long_for_ed25519_is_refused_before_it_is_visible():
    with server() as (directory, vault):
        vault.keys(targets="ed25519", snapshot="ed25519", timestamp="ed25519", openpgp="ed25519", short="ecdsa-p256")
        p = Publisher(home(directory, "p"), vault, VAULT_TOKEN=vault.token())
        p.init()
        (p.home / "pool").mkdir()
        for number in range(6000):
            (p.home / f"pool/package-with-quite-a-long-name-{number}.zip").write_text(str(number))
        before = p.versions()
        p.fails(6, "refuses messages as long as this role file", "add-targets", "pool", "--prefix", "packages")
        assert p.versions() == before
        # The way out that the error names.
        p.publish("rotate", "targets", "--key", "vault:short", "--now")
        p.publish("add-targets", "pool", "--prefix", "packages")
        assert "good: 0 errors" in p.publish("verify")


def a_redirect_to_plain_http_gets_no_token():
    """A standby may name the active server, but the token does not follow from https to http."""
    import ssl

    with server("IP:127.0.0.1") as (directory, vault):
        vault.keys(targets="ecdsa-p256", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ecdsa-p256")
        heard = Slow(vault, 0)
        p = Publisher(home(directory, "p"), vault, VAULT_TOKEN=vault.token())
        for to, follows in [(heard.url, False), (vault.url, True)]:

            class Standby(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(307)
                    self.send_header("Location", to + self.path)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                def log_message(self, *_):
                    pass

            standby = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Standby)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(directory / "tls.pem", directory / "tls.key")
            standby.socket = context.wrap_socket(standby.socket, server_side=True)
            threading.Thread(target=standby.serve_forever, daemon=True).start()
            p.set(VAULT_ADDR=f"https://127.0.0.1:{standby.server_port}")
            if follows:
                p.publish("key", "show", "vault:targets")
            else:
                p.fails(13, "status 307", "key", "show", "vault:targets")
                assert heard.paths == [], heard.paths
            standby.shutdown()


def sealed_midway_nothing_is_lost():
    """Vault is sealed at moments of a release; nothing becomes visible by half, and the same command finishes it."""
    with server() as (directory, vault):
        vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
        p = Publisher(home(directory, "p"), vault, VAULT_TOKEN=vault.token())
        p.init()
        p.release("1.0.0")
        slow = Slow(vault, 0.05)
        for at in range(1, 9):
            version, before = f"1.0.{at}", p.versions()
            slow.paths.clear()
            p.set(VAULT_ADDR=slow.url)
            process = subprocess.Popen([PUBLISH, "release", version, "--from", "dist"], cwd=p.home, env=p.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            while len(slow.paths) < at and process.poll() is None:
                time.sleep(0.002)
            vault.seal()
            _, said = process.communicate(timeout=120)
            if process.returncode != 0:
                assert process.returncode == 13 and "is sealed" in said, said
                p.set(VAULT_ADDR=vault.url)
                assert p.versions() == before, "something became visible"
            vault.unseal()
            p.set(VAULT_ADDR=vault.url)
            p.release(version)
            assert "good: 0 errors" in p.publish("verify")
        p.is_read("1.0.8")


def tokens_are_renewed_and_approles_log_in_again():
    with server() as (directory, vault):
        vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
        for number in range(40):
            (directory / "p/dist/linux-amd64/share").mkdir(parents=True, exist_ok=True)
            (directory / f"p/dist/linux-amd64/share/{number}").write_text(str(number))
        slow = Slow(vault, 0.3)
        p = Publisher(directory / "p", vault, VAULT_TOKEN=vault.token())
        p.init()
        p.set(VAULT_ADDR=slow.url)

        def release(version, env, least):
            slow.paths.clear()
            p.set(VAULT_TOKEN=None, VAULT_ROLE_ID=None, VAULT_SECRET_ID=None, **{})
            p.set(**env)
            began = time.monotonic()
            p.release(version)
            assert time.monotonic() - began > least, "it took no longer than the token lives: this proves nothing"

        # A token that is valid for two seconds from each renewal signs for longer than that.
        release("1.0.0", {"VAULT_TOKEN": vault.token(period="2s", renewable=True)}, 2.5)
        assert any(path.endswith("auth/token/renew-self") for path in slow.paths), slow.paths
        # One that cannot be renewed ends, and the same command finishes the work with another.
        p.set(VAULT_TOKEN=vault.token(ttl="2s", renewable=False))
        p.fails(4, "or has expired", "release", "1.0.1", "--from", "dist")
        release("1.0.1", {"VAULT_TOKEN": vault.token()}, 0)
        # Vault's agent puts fresh tokens into a file.
        file = p.home / "token"
        file.write_text(vault.token(ttl="2s", renewable=False))
        file.chmod(0o600)
        fresh = threading.Timer(1, lambda: file.write_text(vault.token() + "\n"))
        fresh.start()
        (p.home / "dist/linux-amd64/bin/acme").write_text("two")
        release("1.0.2", {"VAULT_TOKEN_FILE": str(file)}, 2.5)
        p.set(VAULT_TOKEN_FILE=None)
        # An AppRole whose tokens end for good gets others.
        role, secret = vault.role(token_ttl="2s", token_max_ttl="2s")
        release("1.0.3", {"VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}, 2.5)
        assert sum(path.endswith("auth/approle/login") for path in slow.paths) > 1, slow.paths
        p.set(VAULT_SECRET_ID="00000000-0000-0000-0000-000000000000")
        p.fails(13, "the AppRole login was refused", "release", "1.0.4", "--from", "dist")
        # A secret that is good for one login is enough for a run with four keys.
        role, secret = vault.role(token_ttl="1h", token_max_ttl="1h", secret_id_num_uses=1)
        file = p.home / "secret-id"
        file.write_text(secret + "\n")
        file.chmod(0o600)
        p.set(VAULT_SECRET_ID=None, VAULT_SECRET_ID_FILE=str(file))
        p.release("1.0.4")
        p.fails(13, "the AppRole login was refused", "release", "1.0.5", "--from", "dist")
        file.chmod(0o644)
        p.fails(4, "secret-id", "release", "1.0.5", "--from", "dist")
        p.set(VAULT_ADDR=vault.url)
        p.is_read("1.0.4")


def a_throttled_vault_is_asked_again():
    with server() as (directory, vault):
        vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
        p = Publisher(home(directory, "p"), vault, VAULT_TOKEN=vault.token())
        p.init()
        vault.call("POST", "sys/quotas/rate-limit/transit", path="transit", rate=4, interval="1s")
        p.release("1.0.0")
        p.is_read("1.0.0")


def keys_that_vault_rotates_are_rotated_in_two_roots():
    """A new version in Vault is no key of the root: the old one goes on until the rotation has brought the new one."""
    with server() as (directory, vault):
        vault.keys(targets="ed25519", snapshot="ecdsa-p256", timestamp="ecdsa-p256", openpgp="ed25519")
        p = Publisher(home(directory, "p"), vault, VAULT_TOKEN=vault.token())
        p.init()
        p.release("1.0.0")
        vault.call("POST", "transit/keys/targets/rotate")
        p.fails(6, "role targets needs 1 signature and 0", "release", "1.0.1", "--from", "dist")
        config = p.home / "publish.yaml"
        config.write_text(config.read_text().replace("targets: vault:targets", "targets: vault:targets@1"))
        p.release("1.0.1")
        p.publish("rotate", "targets", "--key", "vault:targets@2", "--now")
        assert "vault:targets@2" in config.read_text() and "vault:targets@1" not in config.read_text()
        vault.call("POST", "transit/keys/targets/config", min_encryption_version=2)
        p.release("1.0.2")
        assert "good: 0 errors" in p.publish("verify")
        p.is_read("1.0.2")


scenarios.run("vault", [
    every_kind_of_key_signs_over_tls,
    a_key_that_cannot_sign_roles_is_named,
    a_role_too_long_for_ed25519_is_refused_before_it_is_visible,
    a_redirect_to_plain_http_gets_no_token,
    sealed_midway_nothing_is_lost,
    tokens_are_renewed_and_approles_log_in_again,
    a_throttled_vault_is_asked_again,
    keys_that_vault_rotates_are_rotated_in_two_roots,
])
