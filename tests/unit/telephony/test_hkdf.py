"""HKDF-SHA256 derives the keys of the test vectors in RFC 5869."""

import pytest

from telephony.hkdf import derive_key
from telephony.media import derive_media_key

VECTORS = [  # appendix A.1 to A.3
    (
        bytes([0x0B]) * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(80)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        bytes([0x0B]) * 22,
        b"",
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "derived"), VECTORS)
def test_a_derived_key_is_that_of_the_rfc(secret: bytes, salt: bytes, info: bytes, derived: str) -> None:
    assert derive_key(secret, info=info, salt=salt, length=len(derived) // 2).hex() == derived


def test_a_key_longer_than_the_rfc_allows_is_refused() -> None:
    assert len(derive_key(b"secret", info=b"", length=255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="at most 8160 bytes"):
        derive_key(b"secret", info=b"", length=255 * 32 + 1)


def test_the_media_key_is_not_the_secret_and_differs_for_each_secret() -> None:
    keys = {derive_media_key(secret) for secret in ("token", "another token")}

    assert len(keys) == 2
    assert {len(key) for key in keys} == {32}
    assert not keys & {b"token", b"another token"}
