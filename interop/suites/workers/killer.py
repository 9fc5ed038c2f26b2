"""Kills services while a team works."""

import os
import random
import signal
import threading
import time


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
                self.t.rabbitmq.kill()
                self.kills["broker"] += 1
                self.t.rabbitmq.up()
                broker = time.monotonic() + 15
            host.start(*self.services[name])
