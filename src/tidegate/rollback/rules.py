"""Every rule that can lead to a rollback: a small function of figures that gives one `Finding`.

| rule | judged | figures | by default |
|---|---|---|---|
| `sequential` | daily | closed trades of the version | rolls back |
| `win_rate`, `sharpe` | daily | closed trades of the last days | alerts |
| `drift` | daily | features, probabilities, label rate | alerts |
| `latency`, `errors`, `crashes` | by the watch | minutes of the instances | rolls back where the fault began with the version |
| `bots` | by the watch | what bots say | rolls back where the fault began with the version |

What each one does is `rollback.<rule>_action` of the strategy file.
"""

from tidegate.rollback.performance import drift, sequential, sharpe, win_rate
from tidegate.rollback.service import bots, crashes, errors, latency

__all__ = ["bots", "crashes", "drift", "errors", "latency", "sequential", "sharpe", "win_rate"]
