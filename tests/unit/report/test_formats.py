import math

import pytest

from tidegate.report import formats

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.percent(0.52314), "52.31 %"),
        (formats.percent(-0.0312, signed=True), "\u22123.12 %"),
        (formats.percent(-0.000001, signed=True), "0.00 %"),
        (formats.percent(NAN), "not measured"),
        (formats.percent(None), "not measured"),
        (formats.percent(INF), "\u221e"),
        (formats.percent(-INF), "\u2212\u221e"),
        (formats.decimal(-12345.678), "\u221212,345.68"),
        (formats.count(4320.0), "4,320"),
        (formats.count(2.5), "2.50"),
        (formats.count(NAN), "not measured"),
        (formats.multiple(1.5), "1.50\u00d7"),
        (formats.multiple(NAN), "not measured"),
        (formats.price(1.183421), "1.18342"),
        (formats.price(64231.5), "64,231.50"),
        (formats.price(0.00001234), "0.0000123400"),
        (formats.price(0.0), "0"),
        (formats.tiny(3.14e-7), "3.1 \u00d7 10\u207b\u2077"),
        (formats.tiny(1e-9), "10\u207b\u2079"),
        (formats.tiny(-1e-9), "\u221210\u207b\u2079"),
        (formats.tiny(0.0), "0"),
        (formats.tiny(0.25), "0.25"),
        (formats.tiny(1.1e-9), "1.1 \u00d7 10\u207b\u2079"),
        (formats.quantity(0.05, "relative"), "5.00 %"),
        (formats.quantity(0.412, "ms"), "0.41 ms"),
        (formats.quantity(NAN, "ms"), "not measured"),
        (formats.quantity(90, "days"), "90 days"),
        (formats.quantity(1.5, "ratio"), "1.50"),
        (formats.interval((0.4845, 0.5939), "fraction"), "48.45 to 59.39 %"),
        (formats.interval((NAN, 0.5), "fraction"), "\u2013"),
        (formats.interval(None, "ratio"), "\u2013"),
        (formats.moment(0), "1970-01-01 00:00 UTC"),
        (formats.moment(-1), "-1 ms"),
        (formats.moment(10**18), f"{10**18} ms"),
        (formats.moment(None), "not measured"),
        (formats.seconds(0.0123), "0.012 s"),
        (formats.seconds(12.3), "12.30 s"),
        (formats.seconds(119.9), "2 min 0 s"),
        (formats.seconds(192.0), "3 min 12 s"),
        (formats.enumerate_words([]), ""),
        (formats.enumerate_words(["a"]), "a"),
    ],
)
def test_values_as_people_read_them(shown: str, expected: str) -> None:
    assert shown.replace(formats.NBSP, " ") == expected
