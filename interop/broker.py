"""RabbitMQ on loopback."""

import subprocess
from pathlib import Path


class RabbitMQ:
    """The broker that `servers/rabbitmq` has started in a directory."""

    def __init__(self, directory):
        self.directory = directory
        self.plain, self.tls = (directory / "urls").read_text().split()
        self.port = int(self.plain.rpartition(":")[2])

    def kill(self):
        self.run("kill")

    def up(self):
        """Starts it again, with what it held."""
        self.run("up")

    def run(self, verb):
        subprocess.run([Path(__file__).parent / "servers/rabbitmq", verb, self.directory], check=True, stdin=subprocess.DEVNULL)
