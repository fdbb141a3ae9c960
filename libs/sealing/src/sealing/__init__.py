"""Seals bytes under a key per person, and wraps these keys under a master key (AES-256-GCM, NIST SP 800-38D).

A nonce is 12 random bytes. A person has far fewer than 2³² messages, so no nonce repeats under a key.
"""

from sealing.master_key import MasterKey, WrongMasterKey
from sealing.person_key import PersonKey, WrongKey

__all__ = ["MasterKey", "PersonKey", "WrongKey", "WrongMasterKey"]
