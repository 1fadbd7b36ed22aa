//! Which bars to send: the whole window, or only those that the service has not seen.

use crate::bars::{Bar, Bars};

/// What a request carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    /// The bars.
    pub(crate) bars: Bars,
    /// Opening time of the bar before them; `None` for a whole window.
    pub(crate) after: Option<i64>,
}

/// The newest `lookback` bars, without `after`.
pub(crate) fn whole(window: &Bars, lookback: usize) -> Sent {
    Sent {
        bars: window.newest(lookback),
        after: None,
    }
}

/// The bars after those of `known`, the window whose answer was understood last; the whole window where they do not fit together.
///
/// `after` is taken from `window`, the bot's own bars now: what they have in common with `known` must be the same, number for number.
pub(crate) fn to_send(window: &Bars, known: Option<&Bars>, lookback: usize) -> Sent {
    known
        .and_then(|known| newer(window, known, lookback))
        .unwrap_or_else(|| whole(window, lookback))
}

fn newer(window: &Bars, known: &Bars, lookback: usize) -> Option<Sent> {
    // A model that looks further back reads bars that nobody has compared.
    if known.len() < lookback {
        return None;
    }
    let (newest, newest_known) = (*window.opened_at.last()?, *known.opened_at.last()?);
    // Going back from the newest bar that both could have, every bar must be the same one: none changed, none more, none less.
    let window_end = window.opened_at.partition_point(|at| *at <= newest_known);
    let known_end = known.opened_at.partition_point(|at| *at <= newest);
    let common = window_end.min(known_end);
    let same = (1..=common).all(|back| bits(window.get(window_end - back)) == bits(known.get(known_end - back)));
    if common == 0 || !same {
        return None;
    }
    let first = window_end.min(window.len() - 1);
    let count = window.len() - first;
    if count > lookback || first == 0 {
        return None;
    }
    Some(Sent {
        bars: window.newest(count),
        after: window.opened_at.get(first - 1).copied(),
    })
}

/// A bar's numbers by their bits, so that no comparison of floats is a matter of opinion.
fn bits(bar: Option<Bar>) -> Option<(i64, [u64; 5])> {
    bar.map(|bar| {
        (
            bar.opened_at,
            [bar.open, bar.high, bar.low, bar.close, bar.volume].map(f64::to_bits),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(from: i64, to: i64) -> Bars {
        (from..to).map(bar).collect()
    }

    #[allow(clippy::cast_precision_loss)] // small numbers
    fn bar(opened_at: i64) -> Bar {
        let price = 100.0 + opened_at as f64;
        Bar {
            opened_at,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 1.0,
        }
    }

    fn sent(window: &Bars, known: &Bars) -> (usize, Option<i64>) {
        let sent = to_send(window, Some(known), 4);
        (sent.bars.len(), sent.after)
    }

    #[test]
    fn the_first_time_the_whole_window_goes() {
        let sent = to_send(&bars(0, 9), None, 4);
        assert_eq!((sent.bars, sent.after), (bars(5, 9), None));
    }

    #[test]
    fn then_only_the_new_bars_go() {
        assert_eq!(sent(&bars(1, 7), &bars(0, 6)), (1, Some(5)));
        assert_eq!(sent(&bars(1, 9), &bars(0, 6)), (3, Some(5)));
        assert_eq!(sent(&bars(1, 10), &bars(0, 6)), (4, Some(5)));
    }

    #[test]
    fn more_new_bars_than_the_lookback_are_a_whole_window() {
        assert_eq!(sent(&bars(1, 11), &bars(0, 6)), (4, None));
    }

    #[test]
    fn the_same_window_again_sends_its_newest_bar_again() {
        assert_eq!(sent(&bars(0, 6), &bars(0, 6)), (1, Some(4)));
    }

    #[test]
    fn a_shorter_or_longer_past_is_compared_where_both_have_bars() {
        assert_eq!(sent(&bars(4, 7), &bars(0, 6)), (1, Some(5)));
        assert_eq!(sent(&bars(-3, 7), &bars(0, 6)), (1, Some(5)));
    }

    #[test]
    fn a_changed_bar_sends_the_whole_window() {
        for row in 0..5 {
            let mut window = bars(1, 7);
            window.close[row] += 1e-13 * window.close[row];
            assert_eq!(sent(&window, &bars(0, 6)), (4, None), "{row}");
        }
    }

    #[test]
    fn a_bar_more_or_less_in_the_past_sends_the_whole_window() {
        let without: Bars = (1..7).filter(|at| *at != 3).map(bar).collect();
        assert_eq!(sent(&without, &bars(0, 6)), (4, None));
        let known: Bars = (0..6).filter(|at| *at != 3).map(bar).collect();
        assert_eq!(sent(&bars(1, 7), &known), (4, None));
    }

    #[test]
    fn no_bar_in_common_sends_the_whole_window() {
        assert_eq!(sent(&bars(10, 20), &bars(0, 6)), (4, None));
        assert_eq!(sent(&bars(-9, -3), &bars(0, 6)), (4, None));
    }

    #[test]
    fn an_earlier_bar_again_is_sent_again() {
        assert_eq!(sent(&bars(-1, 5), &bars(0, 6)), (1, Some(3)));
    }

    #[test]
    fn a_newest_bar_that_is_gone_sends_the_whole_window() {
        let without: Bars = (1..8).filter(|at| *at != 5).map(bar).collect();
        assert_eq!(sent(&without, &bars(0, 6)), (4, None));
    }

    #[test]
    fn a_longer_lookback_than_before_sends_the_whole_window() {
        let window = to_send(&bars(0, 9), Some(&bars(3, 8)), 6);
        assert_eq!((window.bars, window.after), (bars(3, 9), None));
    }

    #[test]
    fn a_window_of_one_bar_has_no_bar_before_it() {
        assert_eq!(sent(&bars(5, 6), &bars(0, 6)), (1, None));
    }
}
