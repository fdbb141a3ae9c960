"""The commands, one a module: what is asked for, one call, what is shown. Exit codes: `centralita.commands.ends`."""
