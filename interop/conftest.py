"""What all suites share: a directory for each test, the servers that they need, and the rule that nothing is skipped."""

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

pytest.register_assert_rewrite("clients", "places", "suites")
from broker import RabbitMQ
from places import azure_container


def refuse_skip(report):
    """What cannot run is a failure: a skipped test would look like a success."""
    if report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and what cannot run fails: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    return refuse_skip((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report():
    return refuse_skip((yield))


@pytest.fixture
def note(record_property):
    """Adds a line to the report: what a test measured."""
    return lambda text: record_property("note", text)


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    notes = [text for report in reports for name, text in report.user_properties if name == "note"]
    if notes:
        terminalreporter.section("measured")
        for text in notes:
            terminalreporter.line(text)


@pytest.fixture
def directory():
    """A directory of the test's own, with a short path: gpg-agent's socket is in it."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def memory():
    """A directory of the test's own, in memory if the machine can, for tests that start thousands of programs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def seed():
    """What draws by chance starts from the SEED of the environment, or from another number each time."""
    return int(os.environ.get("SEED", time.time()))


def started(program, name=None):
    """Starts a server of servers/, unless another process of this run has, and gives its directory. The entry point stops it."""
    servers = Path(os.environ["SERVERS"])
    directory = servers / (name or program)
    with open(servers / f"{directory.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # One that fails to start is not started again.
        if not (servers / f"{directory.name}.started").exists():
            (servers / f"{directory.name}.started").touch()
            subprocess.run([Path(__file__).parent / "servers" / program, "up", directory], check=True, stdin=subprocess.DEVNULL)
    return directory


@pytest.fixture(scope="session")
def ceph():
    """The address of an S3 server, for all tests of a run: each has buckets or prefixes of its own."""
    return (started("ceph") / "endpoint").read_text().strip()


@pytest.fixture(scope="session")
def rabbitmq(worker_id):
    """A broker for the tests that run one after the other: they kill it."""
    return RabbitMQ(started("rabbitmq", f"rabbitmq-{worker_id}"))


@pytest.fixture(scope="session")
def azurite():
    """The address of an Azure Blob account in the emulator, with two containers."""
    endpoint = (started("azurite") / "endpoint").read_text().strip()
    for name in ["conformance", "publishers"]:
        azure_container(endpoint, name)
    return endpoint


@pytest.fixture(scope="session")
def s3rver():
    """The address of an S3 server that ignores conditions, with the bucket `ignores`."""
    return (started("s3rver") / "endpoint").read_text().strip()
