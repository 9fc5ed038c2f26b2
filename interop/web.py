"""Web servers on loopback, each a thread of this process."""

import contextlib
import functools
import http.server
import json
import random
import socket
import ssl
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps connections open, and logs nothing."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement
    disable_nagle_algorithm = True

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server:
    """Answers by a handler, over TLS if it gets a certificate and its key."""

    def __init__(self, handler, tls=None):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        # `close` waits for the next poll.
        threading.Thread(target=self.http.serve_forever, args=(0.1,), daemon=True).start()
        self.port = self.http.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Site(Server):
    """Serves a directory."""

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    def __init__(self, directory):
        super().__init__(functools.partial(self.Files, directory=str(directory)))


class Gateway(Server):
    """Serves whichever repository of a place is chosen by `name`, always under the same URL."""

    def __init__(self, place, name=None):
        self.place, self.name = place, name
        gateway = self

        class Repository(Handler):
            def do_GET(self):
                body = gateway.place.read(gateway.name, urllib.parse.unquote(self.path.lstrip("/")))
                self.answer(404 if body is None else 200, body or b"")

        super().__init__(Repository)

    def targets(self):
        """The entries of the present targets role, unverified: what a client should be able to get."""
        read = lambda path: json.loads(self.place.read(self.name, path))["signed"]
        snapshot = read(f"{read('timestamp.json')['meta']['snapshot.json']['version']}.snapshot.json")
        return read(f"{snapshot['meta']['targets.json']['version']}.targets.json")["targets"]


def free_port():
    """A port on which nothing listens, outside the range from which outgoing connections take theirs."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randint(10000, 30000)))
            return probe.getsockname()[1]
