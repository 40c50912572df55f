//! Plots as SVG, to be put into a page as they are.

use std::fmt::Write;

use crate::report::{Axis, Kind, Plot, Series, Whose};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 52.0;
/// Height of a bar with the room around it.
const BAR: f64 = 34.0;
/// Room for the bars' names.
const NAMES: f64 = 190.0;
/// Room for the bars' values.
const VALUES: f64 = 240.0;
/// Height of a line of the legend.
const LEGEND: f64 = 18.0;

const COLOURS: [&str; 8] =
    ["#0b6e99", "#c8553d", "#588157", "#7b4b94", "#b08900", "#4a5759", "#d1495b", "#2a9d8f"];

/// Colours of bars: ours, others', and what is nobody's.
const fn colour(whose: Whose) -> &'static str {
    match whose {
        Whose::Ours => COLOURS[0],
        Whose::Others => "#98a6ad",
        Whose::Limit => "#c8d2d7",
    }
}

/// What is drawn in a plot, and how high it is.
struct Drawing {
    shapes: String,
    height: f64,
}

/// The plot, or nothing if it has no points. The page has the style.
pub(crate) fn draw(plot: &Plot) -> Option<String> {
    let Drawing { shapes, height } = drawing(plot)?;
    Some(open(height, &plot.title) + &shapes + "</svg>")
}

/// Plots below one another as a picture of its own, with a line of text below them.
pub(crate) fn picture(plots: &[Plot], caption: &str) -> String {
    const HEAD: f64 = 34.0;
    const EDGE: f64 = 14.0;
    let (mut shapes, mut height) = (String::new(), EDGE);
    for plot in plots {
        let Some(drawing) = drawing(plot) else { continue };
        let _ = write!(
            shapes,
            r#"<text class="title" x="{EDGE}" y="{:.1}">{}</text><g transform="translate(0 {:.1})">{}</g>"#,
            height + 18.0,
            escaped(&plot.title),
            height + HEAD,
            drawing.shapes
        );
        height += HEAD + drawing.height;
    }
    text(&mut shapes, [EDGE, height + 10.0], "start", caption);
    height += 10.0 + EDGE;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0}" viewBox="0 0 {WIDTH} {height:.0}"><style>{STYLE}</style><rect class="back" width="{WIDTH}" height="{height:.0}" rx="6"/>{shapes}</svg>"#
    ) + "\n"
}

/// Of a picture of its own, in light and dark.
const STYLE: &str = ".back { fill: #ffffff; } .grid { stroke: #dde3e6; } \
    .title { fill: #1c2327; font: 600 16px system-ui, sans-serif; } \
    .label { fill: #5c6a72; font: 12.5px system-ui, sans-serif; } .value { fill: #1c2327; } \
    @media (prefers-color-scheme: dark) { .back { fill: #12181c; } .grid { stroke: #34414a; } \
    .title, .value { fill: #e6eaec; } .label { fill: #9fadb5; } }";

fn drawing(plot: &Plot) -> Option<Drawing> {
    if plot.series.iter().all(|series| series.points.is_empty()) {
        return None;
    }
    Some(match plot.kind {
        Kind::Lines => lines(plot),
        Kind::Bars => bars(plot),
    })
}

/// Numbers on a way from one place to another.
struct Scale<'a> {
    axis: &'a Axis,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl<'a> Scale<'a> {
    fn over(axis: &'a Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let usable = values.filter(|value| value.is_finite() && (!axis.logarithmic || *value > 0.0));
        let (least, most) =
            usable.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        let (least, most) = if axis.logarithmic {
            (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()))
        } else {
            (least.min(0.0), most * 1.05)
        };
        let most = if most > least { most } else { least + least.abs().max(1.0) };
        Self { axis, least, most, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = if self.axis.logarithmic {
            (value.max(self.least) / self.least).log10() / (self.most / self.least).log10()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.from + part * (self.to - self.from)
    }

    /// Where lines of the grid are drawn.
    fn ticks(&self) -> Vec<f64> {
        if self.axis.logarithmic {
            let mut ticks = Vec::new();
            let mut tick = self.least;
            while tick <= self.most * 1.001 {
                ticks.push(tick);
                tick *= 10.0;
            }
            // Two lines alone would say little.
            if let [first, second] = ticks[..] {
                ticks = [1.0, 2.0, 5.0].map(|times| times * first).into_iter().chain([second]).collect();
            }
            return ticks;
        }
        let rough = (self.most - self.least) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(power);
        let mut tick = (self.least / step).ceil() * step;
        let mut ticks = Vec::new();
        while tick <= self.most {
            ticks.push(tick);
            tick += step;
        }
        ticks
    }
}

fn lines(plot: &Plot) -> Drawing {
    let all = || plot.series.iter().flat_map(|series| &series.points);
    let x = Scale::over(&plot.x, all().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y = Scale::over(&plot.y, all().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let named = if plot.series.len() > 1 { plot.series.len() } else { 0 };
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let height = HEIGHT + LEGEND * named as f64;
    let mut svg = String::new();
    for tick in y.ticks() {
        let at = y.place(tick);
        grid(&mut svg, [LEFT, at, WIDTH - RIGHT, at]);
        text(&mut svg, [LEFT - 8.0, at + 4.0], "end", &plot.y.unit.shown(tick));
    }
    for tick in x.ticks() {
        let at = x.place(tick);
        grid(&mut svg, [at, TOP, at, HEIGHT - BOTTOM]);
        text(&mut svg, [at, HEIGHT - BOTTOM + 18.0], "middle", &plot.x.unit.shown(tick));
    }
    text(&mut svg, [(LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12.0], "middle", &plot.x.label);
    let _ = write!(
        svg,
        r#"<text class="label" transform="translate(14 {:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
        (TOP + HEIGHT - BOTTOM) / 2.0,
        escaped(&plot.y.label)
    );
    for (number, series) in plot.series.iter().enumerate() {
        line(&mut svg, series, &x, &y, COLOURS[number % COLOURS.len()]);
        // One alone needs no name beside the title.
        if named > 0 {
            legend(&mut svg, number, &series.name);
        }
    }
    Drawing { shapes: svg, height }
}

fn line(svg: &mut String, series: &Series, x: &Scale<'_>, y: &Scale<'_>, colour: &str) {
    let drawable = |(at, value): &&(f64, f64)| {
        value.is_finite() && (!y.axis.logarithmic || *value > 0.0) && (!x.axis.logarithmic || *at > 0.0)
    };
    let places: Vec<(f64, f64)> =
        series.points.iter().filter(drawable).map(|(at, value)| (x.place(*at), y.place(*value))).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(
        svg,
        r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/>"#,
        path.join(" ")
    );
    // Few points are results of their own; many are a curve.
    if places.len() <= 40 {
        for (x, y) in places {
            let _ = write!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"/>"#);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn legend(svg: &mut String, number: usize, name: &str) {
    let at = HEIGHT + LEGEND * number as f64;
    let colour = COLOURS[number % COLOURS.len()];
    let _ = write!(svg, r#"<rect x="{LEFT}" y="{:.1}" width="14" height="4" fill="{colour}"/>"#, at - 1.0);
    text(svg, [LEFT + 22.0, at + 5.0], "start", name);
}

fn bars(plot: &Plot) -> Drawing {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let height = TOP + BAR * plot.series.len() as f64 + BOTTOM;
    let values = || plot.series.iter().flat_map(|series| series.points.first()).map(|point| point.1);
    let scale = Scale::over(&plot.y, values(), NAMES, WIDTH - VALUES);
    let mut svg = String::new();
    for tick in scale.ticks() {
        let at = scale.place(tick);
        grid(&mut svg, [at, TOP, at, height - BOTTOM]);
        text(&mut svg, [at, height - BOTTOM + 18.0], "middle", &plot.y.unit.shown(tick));
    }
    text(&mut svg, [f64::midpoint(NAMES, WIDTH - VALUES), height - 12.0], "middle", &plot.y.label);
    for (number, series) in plot.series.iter().enumerate() {
        let Some((_, value)) = series.points.first() else { continue };
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let top = TOP + BAR * number as f64;
        let end = scale.place(*value).max(NAMES + 1.0);
        let colour = colour(series.whose);
        text(&mut svg, [NAMES - 10.0, top + BAR / 2.0 + 4.0], "end", &series.name);
        let _ = write!(
            svg,
            r#"<rect x="{NAMES}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2" fill="{colour}"/>"#,
            top + 5.0,
            end - NAMES,
            BAR - 10.0
        );
        let value = escaped(&plot.y.unit.shown(*value));
        let _ = write!(
            svg,
            r#"<text class="label" x="{:.1}" y="{:.1}"><tspan class="value">{value}</tspan><tspan dx="10">{}</tspan></text>"#,
            end + 8.0,
            top + BAR / 2.0 + 4.0,
            escaped(&series.remark)
        );
    }
    Drawing { shapes: svg, height }
}

fn open(height: f64, title: &str) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{0}" xmlns="http://www.w3.org/2000/svg"><title>{0}</title>"#,
        escaped(title)
    )
}

fn grid(svg: &mut String, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = write!(svg, r#"<line class="grid" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, text: &str) {
    let _ = write!(
        svg,
        r#"<text class="label" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
        escaped(text)
    );
}

/// Text as it may stand in HTML and SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
