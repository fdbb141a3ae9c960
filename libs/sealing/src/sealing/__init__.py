"""Seals bytes under a key per person, and wraps these keys under a master key (AES-256-GCM, NIST SP 800-38D).

A nonce is 12 random bytes. A person has far fewer than 2³² messages, so no nonce repeats under a key. `SigningKey` is
another key: that of a campaign, which signs requests to its tools.
"""

from sealing.master_key import MasterKey, WrongMasterKey
from sealing.person_key import PersonKey, WrongKey
from sealing.signing_keys import SigningKey

__all__ = ["MasterKey", "PersonKey", "SigningKey", "WrongKey", "WrongMasterKey"]
