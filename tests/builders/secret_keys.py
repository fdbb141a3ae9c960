"""The secret keys of the services that tests run."""

from base64 import b64encode

from centralita.embedded.secret_keys import SECRET_KEYS
from chassis.settings import SECRET_KEY_BYTES

TEST_KEYS = {name: b64encode(bytes(SECRET_KEY_BYTES)).decode() for name in SECRET_KEYS}
"""By the names of their settings; `tests/conftest.py` sets them for this process."""
