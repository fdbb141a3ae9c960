"""The commands, one a module: what is asked for, one call, what is shown. Exit codes: `commands.exit_codes`."""
