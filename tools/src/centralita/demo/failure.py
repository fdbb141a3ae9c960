"""The failure of a demo."""


class DemoFailed(RuntimeError):
    """The demo failed; the message names the reason."""
