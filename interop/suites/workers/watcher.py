"""Clients that read while a team works."""

import json
import random
import threading


class Reading:
    """python-tuf clients that update all the time: one that follows, and new ones that start from root 1."""

    def __init__(self, t, wanted):
        self.t, self.wanted, self.faults, self.reads, self.done = t, wanted, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        follows, _ = self.t.client("follows")
        while not self.done.is_set():
            try:
                new, _ = self.t.client(f"new-{self.reads}")
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


class Watcher(threading.Thread):
    """Real clients that update all the time, and an observer that records the content of every file under every version."""

    def __init__(self, t, acknowledged):
        super().__init__(daemon=True)
        self.t, self.acknowledged = t, acknowledged
        self.client, self.gateway = t.client("watcher")
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
