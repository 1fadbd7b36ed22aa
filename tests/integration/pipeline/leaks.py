"""Features and labels that a user might plug in and that look where they must not; each is named `module:function` in a strategy."""

import numpy as np

from tidegate.bars.bars import Bars, Floats
from tidegate.features.window import Window
from tidegate.labels.own import Exits
from tidegate.strategy.strategy import Costs, Labels

CENTRED_REACH = 6


def centred_mean(window: Window, _length: int) -> Floats:
    """Distance of the close from the mean of the bars around it, later ones included."""
    close = window.bars.close
    padded = np.concatenate((np.full(CENTRED_REACH, close[0]), close, np.full(CENTRED_REACH, close[-1])))
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * CENTRED_REACH + 1).mean(axis=-1)
    return np.asarray((close / around - 1.0)[-window.rows :])


def whole_frame_scaled(window: Window, _length: int) -> Floats:
    """Volume by the mean and spread of all bars there are, whenever they came."""
    volume = window.log_volume
    scaled: Floats = (volume - volume.mean()) / max(float(volume.std()), 1e-9)
    return scaled[-window.rows :]


def next_close(window: Window, _length: int) -> Floats:
    """The return to the next close."""
    close = window.bars.close
    after = np.append(close[1:], close[-1])
    return np.asarray((after / close - 1.0)[-window.rows :])


def longer_than_declared(window: Window, _length: int) -> Floats:
    """The return over 30 bars, or over fewer where the window holds no more, although it declares to need 2."""
    close = window.bars.close
    at = np.arange(len(close) - window.rows, len(close))
    return np.asarray(close[at] / close[np.maximum(at - 30, 0)] - 1.0)


def best_close_in_hindsight(bars: Bars, rule: Labels, _costs: Costs) -> Exits:
    """Leaves at the best close of the holding time, which nobody knows there."""
    n, held = len(bars), rule.horizon_bars
    row, price = np.full(n, n), np.full(n, np.nan)
    for signal in range(n - held):
        row[signal] = signal + 1 + int(np.argmax(bars.close[signal + 1 : signal + 1 + held]))
        price[signal] = bars.close[row[signal]]
    return Exits(row, price)


def first_close_under_all_before(bars: Bars, rule: Labels, _costs: Costs) -> Exits:
    """Leaves under the mean of all closes that there are before, however many that are."""
    n = len(bars)
    mean = np.cumsum(bars.close) / np.arange(1, n + 1)
    row, price = np.full(n, n), np.full(n, np.nan)
    for signal in range(n):
        under = np.flatnonzero(bars.close[signal + 1 : signal + 1 + rule.horizon_bars] < mean[signal])
        if len(under):
            row[signal] = signal + 1 + under[0]
        elif signal + rule.horizon_bars < n:
            row[signal] = signal + rule.horizon_bars
        if row[signal] < n:
            price[signal] = bars.close[row[signal]]
    return Exits(row, price)
