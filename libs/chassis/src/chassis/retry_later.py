"""Expected waiting: a message that cannot be handled yet."""


class RetryLater(Exception):
    """Raised by a handler whose message must wait; the message is delivered again after `delay` seconds.

    This is not a failure and is not logged as one. Raise it only for a wait that ends by itself: a message that still
    waits after `chassis.delivery.MAX_WAITS` becomes a dead letter. With `is_unlimited` it never does: for a wait
    that ends when earlier messages have been handled, however many there are.
    """

    def __init__(self, delay: float, *, is_unlimited: bool = False) -> None:
        super().__init__(f"to be delivered again in {delay} s")
        self.delay = delay
        self.is_unlimited = is_unlimited
