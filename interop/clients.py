"""Real clients, and the web server they read from."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.parse
from pathlib import Path

from tuf.ngclient import Updater

MACHINE = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}[os.uname().machine]


class Gateway:
    """Serves whichever repository of a place is chosen, always under the same URL."""

    def __init__(self, place):
        self.place, self.name = place, None
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement
            disable_nagle_algorithm = True

            def do_GET(self):
                body = gateway.place.read(gateway.name, urllib.parse.unquote(self.path.lstrip("/")))
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def targets(self):
        """The entries of the present targets role, unverified: what a client should be able to get."""
        read = lambda path: json.loads(self.place.read(self.name, path))["signed"]
        snapshot = read(f"{read('timestamp.json')['meta']['snapshot.json']['version']}.snapshot.json")
        return read(f"{snapshot['meta']['targets.json']['version']}.targets.json")["targets"]


class PythonTuf:
    """A python-tuf user pinned to the first root, with a cache that lasts."""

    def __init__(self, url, root, home):
        self.url, self.root, self.home = url, root, Path(home)
        self.home.mkdir(parents=True, exist_ok=True)

    def reads(self, targets=None):
        """Updates and, for each of these targets, downloads and checks it."""
        updater = Updater(
            metadata_dir=str(self.home), metadata_base_url=self.url + "/", target_dir=str(self.home),
            target_base_url=self.url + "/targets/", bootstrap=self.root,
        )
        updater.refresh()
        for name, entry in (targets or {}).items():
            info = updater.get_targetinfo(name)
            assert info is not None, f"{name} is not listed"
            content = Path(updater.download_target(info, str(self.home / "target"))).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["hashes"]["sha256"], name
        return json.loads((self.home / "timestamp.json").read_bytes())["signed"]["version"]


class Trdl:
    """A user of the trdl client with a home of its own. Every call is bounded: the real client can wait for ever."""

    def __init__(self, home):
        self.home = Path(home)
        self.env = {**os.environ, "TRDL_HOME_DIR": str(home), "TRDL_NO_SELF_UPDATE": "1"}

    def call(self, *arguments):
        result = subprocess.run(["timeout", "60", os.environ["TRDL"], *arguments], env=self.env, capture_output=True, text=True)
        assert result.returncode == 0, f"trdl {arguments} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result.stdout.strip()

    def add(self, url, root):
        self.call("add", "acme", url, "1", hashlib.sha512(root).hexdigest())
        return self

    def version(self):
        """Updates group 0, channel stable, and returns the release that it has now."""
        self.call("update", "acme", "0", "stable")
        return self.call("bin-path", "acme", "0", "stable").split("/releases/")[1].split("/")[0]


def forked(client, home):
    """The same client as it was, in a new home: each test point starts from yesterday's state."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(client.home, home, symlinks=True)
    return type(client)(home) if isinstance(client, Trdl) else type(client)(client.url, client.root, home)
