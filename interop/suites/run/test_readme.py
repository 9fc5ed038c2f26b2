"""The first steps of README.md, as a person takes them."""

import os
import re

from programs import PUBLISH, ROOT, TRDL, run
from web import free_port


def test_readme_five_minutes(directory):
    """All shell blocks of the section, pasted into one shell, with the trdl client of this suite."""
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## Five minutes\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    assert len(blocks) >= 7, blocks
    home, port = directory, free_port()
    script = "".join(blocks).replace("8000", str(port)).replace("/tmp/acme", str(home / "acme"))
    # A web server needs a moment before it answers.
    script = script.replace("publish status\n", f"curl -sf --retry 20 --retry-connrefused -o /dev/null http://127.0.0.1:{port}/timestamp.json\npublish status\n", 1)
    (home / "bin").mkdir()
    (home / "bin/publish").symlink_to(PUBLISH)
    (home / "bin/trdl").symlink_to(TRDL)
    (home / "gnupg").mkdir(mode=0o700)
    env = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "GNUPGHOME": str(home / "gnupg"), "TRDL_HOME_DIR": str(home / ".trdl"), "TRDL_NO_SELF_UPDATE": "1"}
    said = run("bash", "-euc", f"trap 'kill $(jobs -p)' EXIT\n{script}", env=env, cwd=ROOT)
    assert "release 1.0.0 is published" in said and "healthy: clients can update" in said, said
    # What the README shows is what was printed.
    dateless = lambda text: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE", text)
    shown, said = dateless(re.search(r"```text\n(.*?)```", section, re.S)[1]), dateless(said)
    assert shown in said, f"the README shows\n{shown}\nbut this was printed:\n{said}"
    assert "hello from acme" in said, f"trdl exec did not run the program: {said}"
    downloads = {path.name for path in (home / "acme/download").iterdir()}
    assert {"acme", "acme.sig"} < downloads, downloads
