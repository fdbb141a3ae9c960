"""Doctor: checks everything that a call needs, and names what is wrong, where, and what to do.

Each module checks one area and returns findings: the services' settings and `limits`, the vendors' accounts, NATS
(`bus`, `permissions`), and the public address.
"""
