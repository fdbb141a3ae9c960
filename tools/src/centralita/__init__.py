"""The command line `centralita`: runs the system on one machine, and operates a running system."""
