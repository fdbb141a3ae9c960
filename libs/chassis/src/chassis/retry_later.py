"""Expected waiting: a message that cannot be handled yet."""


class RetryLater(Exception):
    """Raised by a handler whose message must wait; the message is delivered again after `delay` seconds.

    This is not a failure: it is not logged as one and never turns the message into a dead letter. Raise it only for a
    wait that ends by itself.
    """

    def __init__(self, delay: float) -> None:
        super().__init__(f"to be delivered again in {delay} s")
        self.delay = delay
