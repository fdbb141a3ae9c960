"""Turn-taking, pure: no clock, no ids, no I/O."""
