"""A proxy in front of an S3 server that lies, delays, cuts or hangs (tests/proxy)."""

import os
import subprocess


class Proxy:
    def __init__(self, upstream, fault="none", delay=0):
        command = [os.environ["PROXY"], upstream.removeprefix("http://"), str(delay), fault]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def close(self):
        """Gives the number of requests."""
        return int(self.process.communicate()[0])
