"""Numbers in paths: importing this module registers the convertor of ``{name:number}``, at most nine digits.

Starlette's own ``int`` accepts any number of digits, and Python refuses to convert more than 4,300: the answer is 500.
A path with a longer number matches no route.
"""

from starlette.convertors import IntegerConvertor, register_url_convertor

MAX_PATH_NUMBER = 999_999_999


class _NumberConvertor(IntegerConvertor):
    regex = "[0-9]{1,9}"


register_url_convertor("number", _NumberConvertor())
