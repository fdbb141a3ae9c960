"""`centralita demo`: a campaign on this machine, and the check that its records agree."""
