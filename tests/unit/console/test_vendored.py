"""The files of other projects that browsers load: exactly those of the lock."""

from centralita_console import vendor


def test_the_lock_names_every_vendored_file_with_its_digest() -> None:
    stored = {file.name: vendor.digest_of(file.read_bytes()) for file in vendor.FOLDER.iterdir() if file != vendor.LOCK}

    assert {entry["file"]: entry["sha256"] for entry in vendor.locked()} == stored


def test_the_lock_has_the_packages_of_the_code() -> None:
    expected = {
        (name, package.name, package.version, package.licence) for package in vendor.PACKAGES for name in package.files
    }

    assert {tuple(entry[name] for name in ("file", "package", "version", "licence")) for entry in vendor.locked()} == (
        expected
    )
