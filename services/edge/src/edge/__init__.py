"""The public REST API, the webhooks of the telephone provider, and turn-taking."""
