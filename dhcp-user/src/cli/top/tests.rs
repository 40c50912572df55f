//! The screen, drawn without a terminal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::screen;
use super::view::View;
use crate::control::{
    Busiest, BusyCircuit, BusyClient, Figures, InterfaceStatus, KernelStats, LinkStatus, PoolCounts,
    RingFigures, Stage, Stats, Status, TrafficStats, Word, Xdp,
};
use crate::events::EventRecord;

fn words(counts: &[(&'static str, u64)]) -> BTreeMap<Word, u64> {
    counts.iter().map(|(name, count)| (Word::Borrowed(*name), *count)).collect()
}

/// A server after `seconds` seconds of steady work.
fn figures(seconds: u64) -> Box<Figures> {
    let kernel = KernelStats {
        acked: words(&[
            ("renewing", 12_000 * seconds),
            ("rebinding", 40 * seconds),
            ("init-reboot", 3 * seconds),
        ]),
        punted: words(&[("discover", 180 * seconds), ("unknown-question", 120 * seconds)]),
        dropped: words(&[("begun-full", 0), ("fresh-full", 7)]),
        ..KernelStats::default()
    };
    let daemon = TrafficStats {
        received: words(&[
            ("discover", 180 * seconds),
            ("request", 300 * seconds),
            ("decline", 0),
            ("release", 20 * seconds),
            ("inform", 1),
        ]),
        sent: words(&[("offer", 170 * seconds), ("ack", 290 * seconds), ("nak", seconds)]),
        dropped: words(&[("no-subnet", 4 * seconds), ("pool-exhausted", 6 * seconds), ("other-server", 5)]),
        ..TrafficStats::default()
    };
    let interface = InterfaceStatus {
        name: "eth1".into(),
        xdp: Xdp::Native,
        xdp_configured: "auto".into(),
        xdp_why: None,
        attaching: false,
        driver: Some("ice".into()),
        link: LinkStatus::Up,
        addresses: Vec::new(),
        obstacle: None,
    };
    let pool = |subnet: &str, size, leased| PoolCounts {
        subnet: subnet.into(),
        pool: String::new(),
        size,
        free: size - leased,
        offered: 0,
        leased,
        grace: 0,
        quarantined: 0,
        reserved: 0,
    };
    Box::new(Figures {
        status: Status {
            classes: Vec::new(),
            version: "0.1.0".into(),
            stage: Stage::Serving,
            uptime_seconds: 93_784,
            interfaces: vec![interface],
            store: "embedded".into(),
            leases: 46_021,
            trouble: None,
        },
        stats: Stats { kernel, daemon, hooks: Vec::new() },
        rings: ["begun", "fresh"]
            .map(|ring| RingFigures {
                ring: ring.into(),
                size: 4 << 20,
                waiting: if ring == "fresh" { 1 << 18 } else { 0 },
            })
            .into(),
        pools: vec![
            pool("192.0.2.0/24", 191, 190),
            pool("198.51.100.0/23", 500, 410),
            pool("10.0.0.0/14", 262_000, 45_000),
            pool("203.0.113.0/24", 200, 40),
            pool("10.8.0.0/16", 65_000, 381),
        ],
        renewals_received: 120 * seconds,
        busiest: Busiest {
            milliseconds: 2000,
            messages: 960,
            clients: vec![
                BusyClient { hw_address: "02:00:5e:10:00:07".into(), messages: 10 },
                BusyClient { hw_address: "02:00:5e:10:03:a1".into(), messages: 7 },
                BusyClient { hw_address: "02:00:5e:10:0b:42".into(), messages: 4 },
            ],
            circuits: vec![
                BusyCircuit {
                    relay: [198, 51, 100, 1].into(),
                    circuit: "65:74:68:2d:30:2f:31".into(),
                    messages: 31,
                },
                BusyCircuit { relay: [198, 51, 100, 1].into(), circuit: "00:04:00:0a".into(), messages: 12 },
            ],
        },
    })
}

fn view() -> View {
    let begun = Instant::now();
    let mut view = View::new(figures(10), begun);
    view.figures(figures(12), begun + Duration::from_secs(2));
    for (second, what, last) in [(3, "granted", 77), (4, "pool-full", 0), (4, "quarantined", 9)] {
        let time = jiff::Timestamp::from_second(1_780_000_000 + second).expect("a time");
        let address = (last > 0).then(|| [192, 0, 2, last].into());
        let detail = (what == "pool-full").then(|| "95 % of 192.0.2.10 - 192.0.2.200".into());
        view.event(EventRecord { time, address, detail, ..EventRecord::now(what) });
    }
    view
}

fn drawn(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| screen::draw(frame, view)).expect("it is drawn");
    let buffer = terminal.backend().buffer();
    let cells = buffer.content().chunks(usize::from(width.max(1)));
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    cells.map(|cells| line(cells).trim_end().to_owned() + "\n").collect()
}

/// The picture in docs/metrics.md is what it shows.
#[test]
fn all_of_it_fits_on_a_small_terminal() {
    let shown = drawn(&view(), 80, 24);
    for expected in [
        "xdhcpd 0.1.0  eth1 (native)  46021 leases  up 1day 2h 3m 4s",
        "no trouble",
        "discover         180",
        "offer            170",
        "renewing       12.0k",
        "renewals here: 99.0 %",
        "pool-exhausted       6     72",
        "99.5 % 192.0.2.0/24",
        "fresh   6 %  dropped 7",
        "pool-full 95 % of 192.0.2.10",
        "quarantined 192.0.2.9",
        "02:00:5e:10:00:07       5",
        "eth-0/1 198.51.100   15.5",
        "00:04:00:0a 198.51      6",
    ] {
        assert!(shown.contains(expected), "no {expected:?} in\n{shown}");
    }
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).expect("a page");
    let picture: String = shown
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") })
        .collect();
    assert!(page.contains(&picture), "docs/metrics.md has another picture than\n{picture}");
}

#[test]
fn before_two_looks_there_are_no_rates_and_a_silent_daemon_is_told_of() {
    let mut view = View::new(figures(10), Instant::now());
    assert!(drawn(&view, 80, 24).contains("discover           –"));
    view.silent("can't reach xdhcpd at /run/xdhcpd/control.sock".into());
    assert!(drawn(&view, 80, 24).contains("no answer: can't reach xdhcpd at /run"));
    // A daemon that has begun anew counts from nothing.
    view.figures(figures(1), Instant::now() + Duration::from_secs(1));
    assert!(!drawn(&view, 80, 24).contains("no answer:"));
}

/// On a terminal of any size, with any text from a client or an event, the screen is drawn, and no text moves the
/// cursor.
#[test]
fn any_size_and_any_text_will_do() {
    let mut view = view();
    for text in ["\x1b[2J\x1b]0;owned\x07", "\u{202e}", "\u{fe0f}\u{200d}", "\n\r\t", &"x".repeat(1000)] {
        view.event(EventRecord { detail: Some(text.to_owned()), ..EventRecord::now("granted") });
    }
    view.now.status.trouble = Some("\x1b[31mred".into());
    for (width, height) in [(0, 0), (1, 1), (20, 5), (80, 24), (80, 10), (300, 100)] {
        let shown = drawn(&view, width, height);
        assert!(!shown.contains(['\x1b', '\x07', '\r', '\t']), "{width}×{height}: {shown:?}");
    }
}
