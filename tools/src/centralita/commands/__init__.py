"""The commands, one per module: parse options, make one call, print the result. Exit codes: `commands.exit_codes`."""
