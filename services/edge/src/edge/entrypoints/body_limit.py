"""How long the bodies of requests may be; `chassis.body_limit` enforces it."""

MAX_BODY_BYTES = 1_000_000
MAX_WEBHOOK_BYTES = 65_536
"""A webhook's form has about 2 kB. `deploy/Caddyfile` has twice both limits, so that the edge answers."""
