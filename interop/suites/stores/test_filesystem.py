"""A repository on a file system that lacks what others have."""

import subprocess


def test_directory_without_links_or_case(directory, publisher):
    """A real file system that has neither: exFAT, in a file, through FUSE."""
    image, mount = directory / "image", directory / "mount"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    device = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount.exfat-fuse", device, str(mount)], check=True, capture_output=True)
        (mount / "Case").touch()
        assert (mount / "case").exists(), "not the file system that was wanted"
        p = publisher(f"name: acme\nrepo: {mount}/repo\n")
        p.daily_work()
        p.publish("release", "1.0.0-RC1", "--from", "dist")
        p.publish("release", "1.0.0-rc1", "--from", "dist", code=5, says=["only in case"])
        p.publish("store", "check", says=["ok       race", "the store is suitable"])
    finally:
        subprocess.run(["umount", str(mount)], check=False)
        subprocess.run(["losetup", "--detach", device], check=False)
