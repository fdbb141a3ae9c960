"""The console: calls and campaigns in a browser, over the REST API."""
