"""What other libraries' errors say, fit for one line of ours."""


def reason(error: BaseException) -> str:
    r"""An error's kind and text in one line.

    >>> reason(ValueError("page 3\n is  short"))
    'ValueError: page 3 is short'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
