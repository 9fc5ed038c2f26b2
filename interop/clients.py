"""Users of the real clients, each with a home of its own that lasts."""

import hashlib
import json
import shutil
import urllib.parse
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from programs import MACHINE, TRDL, TUF_CLIENT, run


def sha512(root):
    """A root as the trdl client pins it."""
    return hashlib.sha512(root).hexdigest()


class Trdl:
    """A user of the trdl client."""

    def __init__(self, home, repository="acme"):
        self.home, self.repository = Path(home), repository
        self.env = {"TRDL_HOME_DIR": str(home), "TRDL_NO_SELF_UPDATE": "1"}

    def call(self, *arguments):
        # The real client can wait for ever.
        return run(TRDL, *arguments, env=self.env, timeout=60).strip()

    def add(self, url, sha512, version=1):
        self.call("add", self.repository, url, version, sha512)
        return self

    def installs(self, version, *what):
        """Updates what is meant by `trdl update`, and runs the program of this version."""
        self.call("update", self.repository, *what)
        expected = self.call("bin-path", self.repository, *what)
        assert expected.endswith(f"releases/{version}/{MACHINE}/bin"), expected
        said = self.call("exec", self.repository, *what, "--", "--version")
        assert said == f"{self.repository} {version}", said

    def version(self):
        """Updates group 0, channel stable, and gives the release that it has now."""
        self.call("update", self.repository, "0", "stable")
        return self.call("bin-path", self.repository, "0", "stable").split("/releases/")[1].split("/")[0]

    def forked(self, home):
        """The same user as they are now, in a new home."""
        return Trdl(copied(self.home, home), self.repository)


class PythonTuf:
    """A user of python-tuf, pinned to a root."""

    def __init__(self, url, root, home, metadata_path="", targets_path="/targets", hash_prefixes=True, fetcher=None):
        self.url, self.root, self.home = url, root, Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.metadata_url, self.targets_url = f"{url}{metadata_path}/", f"{url}{targets_path}/"
        self.hash_prefixes, self.fetcher = hash_prefixes, fetcher

    def updater(self):
        updater = Updater(
            metadata_dir=str(self.home), metadata_base_url=self.metadata_url, target_dir=str(self.home),
            target_base_url=self.targets_url, fetcher=self.fetcher, bootstrap=self.root,
        )
        updater.config.prefix_targets_with_hash = self.hash_prefixes
        updater.refresh()
        return updater

    def lists(self, names):
        updater = self.updater()
        for name in names:
            assert updater.get_targetinfo(name) is not None, f"{name} is not listed"

    def read(self, name):
        """Updates, and gives the bytes of a target."""
        return self.download(self.updater(), name)

    def reads(self, targets=None):
        """Updates, downloads and checks these targets, and gives the version of the timestamp."""
        updater = self.updater()
        for name, entry in (targets or {}).items():
            assert hashlib.sha256(self.download(updater, name)).hexdigest() == entry["hashes"]["sha256"], name
        return json.loads((self.home / "timestamp.json").read_bytes())["signed"]["version"]

    def download(self, updater, name):
        info = updater.get_targetinfo(name)
        assert info is not None, f"{name} is not listed"
        return Path(updater.download_target(info, str(self.home / "target"))).read_bytes()

    def forked(self, home):
        """The same user as they are now, in a new home."""
        return PythonTuf(self.url, self.root, copied(self.home, home))


class FromDisk(FetcherInterface):
    """Lets python-tuf read file: URLs."""

    def _fetch(self, url):
        try:
            return iter([Path(urllib.parse.unquote(urllib.parse.urlparse(url).path)).read_bytes()])
        except FileNotFoundError as error:
            raise DownloadHTTPError("missing", 404) from error


class GoTuf:
    """A user of go-tuf's own client, pinned to a root in a file."""

    def __init__(self, url, root, store):
        self.url, self.store = url, store
        self.call("init", url, root)

    def call(self, command, *arguments):
        return run(TUF_CLIENT, command, "-s", self.store, *arguments)

    def reads(self, name):
        return self.call("get", self.url, name)


def copied(home, to):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(home, to, symlinks=True)
    return to
