//! The layout: everything on 80 columns and 24 lines, more on a larger terminal.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use super::view::{View, short};
use crate::control::{LinkStatus, PoolCounts, Xdp, from_colon_hex};

/// How wide bars are: of the share in the kernel, and of a pool.
const BAR: usize = 20;
const POOL_BAR: usize = 14;

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let [head, figures, middle, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    let [messages, kernel, reasons] =
        Layout::horizontal([Constraint::Length(25), Constraint::Length(25), Constraint::Fill(1)])
            .areas(figures);
    let [pools, rings] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(26)]).areas(middle);
    // On 80 columns an event has room for its kind, a long address and a hardware address.
    let busy = 27 + foot.width.saturating_sub(80) / 3;
    let [events, busiest] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(busy)]).areas(foot);
    show_head(frame, head, view);
    show(frame, messages, "daemon: messages/s", messages_of(view));
    show(frame, kernel, "kernel: answers/s", kernel_of(view));
    show(frame, reasons, "unanswered: /s, in all", reasons_of(view));
    show(frame, pools, "pools", pools_of(view, pools));
    show(frame, rings, "rings", rings_of(view));
    show(frame, events, "events", events_of(view, events));
    show(frame, busiest, "busiest, messages/s", busiest_of(view, busiest));
}

fn show(frame: &mut Frame<'_>, area: Rect, title: &'static str, lines: Vec<Line<'_>>) {
    let block = Block::new().borders(Borders::TOP).title(title).title_style(bold()).border_style(dim());
    // The last column keeps neighbours apart.
    let area = Rect { width: area.width.saturating_sub(1), ..area };
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn show_head(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let status = &view.now.status;
    let served = status.interfaces.iter().map(|interface| {
        let xdp = match interface.xdp {
            Xdp::Native => "native",
            Xdp::Generic => "generic",
            Xdp::External => "external",
            Xdp::Off => "off",
        };
        let down = if interface.link == LinkStatus::Up { "" } else { ", down" };
        format!("{} ({xdp}{down})", interface.name)
    });
    let uptime = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    let first = format!(
        "xdhcpd {}  {}  {} leases  up {uptime}  q ends",
        status.version,
        served.collect::<Vec<_>>().join(", "),
        status.leases
    );
    let second = match (&view.silent, &status.trouble) {
        (Some(why), _) => Line::styled(format!("no answer: {why}"), wrong()),
        (None, Some(trouble)) => Line::styled(format!("trouble: {trouble}"), wrong()),
        (None, None) => Line::styled("no trouble", Style::new().fg(Color::Green)),
    };
    frame.render_widget(Paragraph::new(vec![Line::styled(first, bold()), second]), area);
}

/// Messages in, in the upper lines; messages out, in the lower.
fn messages_of(view: &View) -> Vec<Line<'static>> {
    let came = view.rates(|figures| &figures.stats.daemon.received);
    let left = view.rates(|figures| &figures.stats.daemon.sent);
    let of = |name: &str, all: &[(String, Option<f64>, u64)]| {
        row(name, all.iter().find(|(known, ..)| known == name).and_then(|(_, rate, _)| *rate), 12)
    };
    let came = ["discover", "request", "decline", "release", "inform"].map(|name| of(name, &came));
    let left = ["offer", "ack", "nak"].map(|name| of(name, &left));
    came.into_iter().chain(left).collect()
}

fn kernel_of(view: &View) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = view
        .rates(|figures| &figures.stats.kernel.acked)
        .into_iter()
        .map(|(state, rate, _)| row(&state, rate, 12))
        .collect();
    let up: Option<f64> =
        view.rates(|figures| &figures.stats.kernel.punted).iter().map(|(_, rate, _)| *rate).sum();
    lines.push(row("sent up", up, 12));
    lines.push(Line::default());
    let share = view.share();
    let text = share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    lines.push(Line::from(format!("renewals here: {text}")));
    lines.push(bar(share.unwrap_or(0.0), BAR, Color::Green));
    lines
}

fn row(name: &str, rate: Option<f64>, width: usize) -> Line<'static> {
    let rate = rate.map_or_else(|| "–".to_owned(), short);
    Line::from(format!("{name:<width$}{rate:>8}"))
}

fn reasons_of(view: &View) -> Vec<Line<'static>> {
    let reasons = view.reasons();
    if reasons.is_empty() {
        return vec![Line::styled("all were answered", dim())];
    }
    let line = |(name, rate, count): (String, Option<f64>, u64)| {
        let style = if rate.unwrap_or(0.0) > 0.0 { Style::new().fg(Color::Yellow) } else { Style::new() };
        #[expect(clippy::cast_precision_loss, reason = "it is shown in three digits")]
        let count = short(count as f64);
        let rate = rate.map_or_else(|| "–".to_owned(), short);
        Line::styled(format!("{name:<16.16}{rate:>6}{count:>7}"), style)
    };
    reasons.into_iter().take(8).map(line).collect()
}

/// The fullest pools.
fn pools_of(view: &View, area: Rect) -> Vec<Line<'static>> {
    let used = |pool: &PoolCounts| 1.0 - f64::from(pool.free) / f64::from(pool.size.max(1));
    let mut pools: Vec<&PoolCounts> = view.now.pools.iter().collect();
    pools.sort_by(|a, b| used(b).total_cmp(&used(a)));
    let line = |pool: &&PoolCounts| {
        let share = used(pool);
        let colour = match share {
            share if share >= 0.95 => Color::Red,
            share if share >= 0.8 => Color::Yellow,
            _ => Color::Blue,
        };
        let mut line = bar(share, POOL_BAR, colour);
        line.spans.push(Span::from(format!("{:>5.1} % {:<18.18}", 100.0 * share, pool.subnet)));
        let states = format!("{} of {}", pool.leased, pool.size);
        line.spans.push(Span::styled(states, dim()));
        line
    };
    let room = usize::from(area.height.saturating_sub(1));
    let mut lines: Vec<Line<'static>> = pools.iter().take(room).map(line).collect();
    if pools.len() > room
        && let Some(last) = lines.last_mut()
    {
        *last = Line::styled(format!("and {} that are less full", pools.len() + 1 - room), dim());
    }
    lines
}

fn bar(share: f64, width: usize, colour: Color) -> Line<'static> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "up to `width`"
    )]
    let full = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    Line::from(vec![
        Span::styled("█".repeat(full), Style::new().fg(colour)),
        Span::styled("░".repeat(width - full), dim()),
    ])
}

fn rings_of(view: &View) -> Vec<Line<'static>> {
    if view.now.rings.is_empty() {
        return vec![Line::styled("no program is attached", dim())];
    }
    let dropped = |ring: &str| {
        let name = format!("{ring}-full");
        view.rates(|figures| &figures.stats.kernel.dropped)
            .into_iter()
            .find(|(known, ..)| *known == name)
            .map_or((0.0, 0), |(_, rate, count)| (rate.unwrap_or(0.0), count))
    };
    let line = |ring: &crate::control::RingFigures| {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = ring.waiting as f64 / ring.size.max(1) as f64;
        let (rate, count) = dropped(&ring.ring);
        #[expect(clippy::cast_precision_loss, reason = "it is shown in three digits")]
        let lost = format!("{:>3.0} %  dropped {}", 100.0 * share, short(count as f64));
        let style = if rate > 0.0 { wrong() } else { Style::new() };
        Line::styled(format!("{:<6}{lost}", ring.ring), style)
    };
    view.now.rings.iter().map(line).collect()
}

/// The latest events, the last below.
fn events_of(view: &View, area: Rect) -> Vec<Line<'static>> {
    if view.events.is_empty() {
        return vec![Line::styled("none yet", dim())];
    }
    let room = usize::from(area.height.saturating_sub(1));
    let skipped = view.events.len().saturating_sub(room);
    let line = |event: &crate::events::EventRecord| {
        let said = [
            Some(event.time.strftime("%H:%M:%S").to_string()),
            Some(event.what.clone().into_owned()),
            event.address.map(|address| address.to_string()),
            event.hw_address.clone(),
            event.detail.clone(),
        ];
        Line::from(said.into_iter().flatten().collect::<Vec<_>>().join(" "))
    };
    view.events.iter().skip(skipped).map(line).collect()
}

fn busiest_of(view: &View, area: Rect) -> Vec<Line<'static>> {
    let busiest = &view.now.busiest;
    #[expect(clippy::cast_precision_loss, reason = "it is shown in three digits")]
    let rate = |messages: u64| short(messages as f64 * 1000.0 / busiest.milliseconds.max(1) as f64);
    let room = usize::from(area.height.saturating_sub(1));
    let width = usize::from(area.width.saturating_sub(9));
    // Circuits need the relay to be told, so they have less room where there are both.
    let clients = if busiest.circuits.is_empty() { room } else { room.div_ceil(2) };
    let mut lines: Vec<Line<'static>> = busiest
        .clients
        .iter()
        .take(clients)
        .map(|client| Line::from(format!("{:<width$.width$}{:>7}", client.hw_address, rate(client.messages))))
        .collect();
    let left = room.saturating_sub(lines.len());
    lines.extend(busiest.circuits.iter().take(left).map(|circuit| {
        let name = format!("{} {}", spelled(&circuit.circuit), circuit.relay);
        Line::from(format!("{name:<width$.width$}{:>7}", rate(circuit.messages)))
    }));
    if lines.is_empty() {
        lines.push(Line::styled("nobody", dim()));
    }
    lines
}

/// A circuit as text, where it is text.
fn spelled(hex: &str) -> String {
    let octets = from_colon_hex(hex).unwrap_or_default();
    let is_text = !octets.is_empty() && octets.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ');
    if is_text { String::from_utf8_lossy(&octets).into_owned() } else { hex.to_owned() }
}

const fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

const fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

const fn wrong() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}
