"""The adapters of the ports."""
