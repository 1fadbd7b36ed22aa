"""Features that a user might plug in and that look where they must not; each is named `module:function` in a strategy."""

import numpy as np

from tidegate.bars.bars import Floats
from tidegate.features.window import Window

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
