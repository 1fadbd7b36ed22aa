//! Cases that are reckoned by hand: 1000 of capital, 10 bps a side, bars of one minute.

use super::*;

const MINUTE: i64 = 60_000;
const FREE_OF_IMPACT: Costs = Costs {
    fee_bps: 6.0,
    half_spread_bps: 3.0,
    slippage_bps: 1.0,
    impact_coefficient: 0.0,
};

fn bar(row: i64, open: f64, close: f64, volume: f64) -> Bar {
    Bar {
        opened_at: row * MINUTE,
        open,
        high: open.max(close) + 2.0,
        low: open.min(close) - 2.0,
        close,
        volume,
    }
}

fn near(was: f64, expected: f64) {
    assert!(
        (was - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        "expected {expected}, was {was}"
    );
}

/// Runs bars with the target decided at each one's close.
fn run(costs: Costs, bars: &[Bar], targets: &[Side]) -> (Ledger, Vec<Trade>) {
    let mut ledger = Ledger::new("A/USD", MINUTE, 1000.0, costs);
    let mut trades = Vec::new();
    for (bar, target) in bars.iter().zip(targets) {
        trades.extend(ledger.bar(bar).unwrap());
        ledger.want(*target);
    }
    trades.extend(ledger.close_out().unwrap());
    (ledger, trades)
}

#[test]
fn a_flip_closes_and_opens_at_one_open_and_pays_on_both() {
    let bars = [
        bar(0, 100.0, 101.0, 1.0),
        bar(1, 100.0, 110.0, 1.0),
        bar(2, 125.0, 120.0, 1.0),
        bar(3, 100.0, 99.0, 1.0),
    ];
    let (ledger, trades) = run(
        FREE_OF_IMPACT,
        &bars,
        &[Side::Long, Side::Short, Side::Flat, Side::Flat],
    );
    let [long, short] = trades.as_slice() else {
        panic!("{trades:?}")
    };

    // 10 units from 100 to 125: 250, less 0.001 of 1000 and of 1250.
    assert_eq!(
        (long.side, long.entry_at, long.exit_at, long.signal_at),
        (Side::Long, MINUTE, 2 * MINUTE, MINUTE)
    );
    assert_eq!(
        (long.units, long.entry_price, long.exit_price, long.bars_held),
        (10.0, 100.0, 125.0, 1)
    );
    near(long.gross_pnl, 250.0);
    near(long.cost, 2.25);
    near(long.net_return, 0.247_75);
    // 8 units from 125 to 100: 200, less 0.001 of 1000 and of 800.
    assert_eq!(
        (short.side, short.entry_at, short.exit_at, short.units),
        (Side::Short, 2 * MINUTE, 3 * MINUTE, 8.0)
    );
    near(short.net_pnl, 200.0 - 1.8);
    assert!(!long.forced_exit && !short.forced_exit);
    assert_eq!(ledger.position(), Position::FLAT);
    near(ledger.equity(1.0), 1000.0 + 250.0 - 2.25 + 200.0 - 1.8);
}

#[test]
fn a_gap_at_the_open_is_where_the_fill_is() {
    let bars = [
        bar(0, 100.0, 100.0, 1.0),
        bar(9, 50.0, 51.0, 1.0),
        bar(10, 80.0, 80.0, 1.0),
    ];
    let (_, trades) = run(FREE_OF_IMPACT, &bars, &[Side::Long, Side::Flat, Side::Flat]);
    assert_eq!((trades[0].entry_at, trades[0].signal_at), (9 * MINUTE, MINUTE));
    assert_eq!((trades[0].units, trades[0].exit_price), (20.0, 80.0));
    near(trades[0].net_pnl, 600.0 - 1.0 - 1.6);
}

#[test]
fn what_is_held_at_the_end_is_closed_at_the_last_close_and_the_last_target_is_never_filled() {
    let bars = [bar(0, 100.0, 100.0, 1.0), bar(1, 100.0, 104.0, 1.0)];
    let (_, trades) = run(FREE_OF_IMPACT, &bars, &[Side::Short, Side::Long]);
    assert_eq!(trades.len(), 1);
    assert_eq!(
        (trades[0].exit_at, trades[0].exit_price, trades[0].bars_held),
        (2 * MINUTE, 104.0, 1)
    );
    assert!(trades[0].forced_exit);
    near(trades[0].net_pnl, -40.0 - 1.0 - 1.04);
}

#[test]
fn nothing_is_filled_at_the_first_open() {
    let mut ledger = Ledger::new("A/USD", MINUTE, 1000.0, FREE_OF_IMPACT);
    ledger.want(Side::Long);
    assert_eq!(ledger.bar(&bar(0, 100.0, 100.0, 1.0)), Ok(None));
    assert_eq!(ledger.position(), Position::FLAT);
}

#[test]
fn a_position_counts_closed_bars_with_the_one_of_its_entry() {
    let mut ledger = Ledger::new("A/USD", MINUTE, 1000.0, FREE_OF_IMPACT);
    ledger.bar(&bar(0, 100.0, 100.0, 1.0)).unwrap();
    ledger.want(Side::Short);
    for (row, held) in [(1, 1), (2, 2), (3, 3)] {
        ledger.bar(&bar(row, 98.0 + 2.0 / held as f64, 100.0, 1.0)).unwrap();
        let expected = Position {
            side: Side::Short,
            entry_price: 100.0,
            bars_held: held,
        };
        assert_eq!(ledger.position(), expected);
    }
    ledger.want(Side::Long);
    ledger.bar(&bar(4, 97.0, 100.0, 1.0)).unwrap();
    assert_eq!(
        ledger.position(),
        Position {
            side: Side::Long,
            entry_price: 97.0,
            bars_held: 1
        }
    );
}

#[test]
fn an_order_moves_a_market_of_little_volume() {
    let costs = Costs {
        impact_coefficient: 0.5,
        ..FREE_OF_IMPACT
    };
    let bars = [
        bar(0, 100.0, 101.0, 40.0),
        bar(1, 100.0, 100.0, 1e9),
        bar(2, 100.0, 100.0, 0.0),
    ];
    let (_, trades) = run(costs, &bars, &[Side::Long, Side::Flat, Side::Flat]);
    // The entry knows one bar: sigma is its return, and 10 units are a quarter of its volume.
    let entry = 0.001 + 0.5 * 1.01_f64.ln() * 0.5;
    // The exit knows two: both returns, and hardly a share of the volume.
    let sigma = ((1.01_f64.ln().powi(2) + (100.0_f64 / 101.0).ln().powi(2)) / 2.0).sqrt();
    let exit = 0.001 + 0.5 * sigma * (10.0_f64 / ((40.0 + 1e9) / 2.0)).sqrt();
    near(trades[0].cost, 1000.0 * entry + 1000.0 * exit);
}

#[test]
fn a_market_without_volume_is_the_dearest() {
    let costs = Costs {
        impact_coefficient: 0.5,
        ..FREE_OF_IMPACT
    };
    let bars = [
        bar(0, 100.0, 101.0, 0.0),
        bar(1, 100.0, 100.0, 0.0),
        bar(2, 100.0, 100.0, 0.0),
    ];
    let mut ledger = Ledger::new("A/USD", MINUTE, 1000.0, costs);
    ledger.bar(&bars[0]).unwrap();
    ledger.want(Side::Long);
    ledger.bar(&bars[1]).unwrap();
    near(ledger.held.unwrap().cost, 1000.0 * (0.001 + 0.5 * 1.01_f64.ln() * 10.0));
}

#[test]
fn an_order_that_costs_all_it_trades_is_refused_and_changes_nothing() {
    let costs = Costs {
        impact_coefficient: 10.0,
        ..FREE_OF_IMPACT
    };
    let mut ledger = Ledger::new("A/USD", MINUTE, 1000.0, costs);
    ledger.bar(&bar(0, 100.0, 102.0, 0.0)).unwrap();
    ledger.want(Side::Long);
    let bar = bar(1, 100.0, 100.0, 0.0);
    let refused = ledger.bar(&bar).unwrap_err();
    near(refused.rate, 0.001 + 10.0 * 1.02_f64.ln() * 10.0);
    assert_eq!((ledger.position(), ledger.rows), (Position::FLAT, 1));
    assert!(refused.to_string().contains("paper.impact_coefficient"));
}

#[test]
fn only_the_last_ninety_six_bars_are_known_at_a_fill() {
    let costs = Costs {
        impact_coefficient: 0.5,
        ..FREE_OF_IMPACT
    };
    let mut ledger = Ledger::new("A/USD", MINUTE, 1000.0, costs);
    for row in 0..200 {
        // A stormy past that no fill must see any more.
        let close = if row < 103 && row % 2 == 0 { 130.0 } else { 100.0 };
        ledger.bar(&bar(row, 100.0, close, 10.0)).unwrap();
    }
    ledger.want(Side::Long);
    ledger.bar(&bar(200, 100.0, 100.0, 10.0)).unwrap();
    near(ledger.held.unwrap().cost, 1.0);
    assert_eq!(ledger.known.len(), IMPACT_BARS);
}

#[test]
fn the_worst_fall_is_from_the_highest_close_to_the_worst_moment() {
    let bars = [
        bar(0, 100.0, 100.0, 1.0),
        bar(1, 100.0, 120.0, 1.0),
        bar(2, 110.0, 105.0, 1.0),
        bar(3, 105.0, 105.0, 1.0),
    ];
    let (ledger, _) = run(FREE_OF_IMPACT, &bars, &[Side::Long, Side::Long, Side::Long, Side::Flat]);
    // Ten units: 1199 at the second close, 10 * 103 - 1 = 1029 at the third bar's and the fourth's worst.
    near(ledger.worst_fall(), (1199.0 - 1029.0) / 1199.0);
}
