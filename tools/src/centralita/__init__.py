"""The command line: the system on one machine, from an empty folder."""
