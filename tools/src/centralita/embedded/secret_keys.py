"""The secret keys of an embedded run, which outlive the process: stored data depends on them."""

import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from centralita.embedded.run_files import write_private_file
from centralita.embedded.servers import CannotStart
from chassis.settings import SECRET_KEY_BYTES

SECRET_KEYS = ("NUMBER_DIGEST_KEY", "MASTER_KEY", "TOOL_SIGNING_KEY")
KEYS_FILE = "keys.json"


def secret_keys(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the key of each setting: from the environment, or else from the folder, where missing keys are stored.

    Raises CannotStart if the file in the folder cannot be read.
    """
    file = folder / KEYS_FILE
    try:
        stored: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise CannotStart(f"{file}: cannot be read ({error}); restore it, or remove the folder") from error
    missing = [name for name in SECRET_KEYS if name not in stored and not environment.get(name)]
    if missing:
        stored |= {name: b64encode(secrets.token_bytes(SECRET_KEY_BYTES)).decode() for name in missing}
        write_private_file(file, json.dumps(stored, indent=2))
    return {name: environment.get(name) or stored[name] for name in SECRET_KEYS}
