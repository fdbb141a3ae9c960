"""``make bench-live``: live conversations at real time, beside a bot without framework and log, in the same run."""
