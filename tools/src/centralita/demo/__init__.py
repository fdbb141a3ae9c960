"""`centralita demo`: a campaign on this machine, and the checks that its records agree."""
