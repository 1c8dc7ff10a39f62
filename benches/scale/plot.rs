//! The sweeps as a picture: a panel for each, and one for memory.

use std::fmt::{self, Write as _};

use crate::{bus::Bus, long::Look, page::Measured, sweep::Sweep, window::Series, words::mebibytes};

const PANEL: (f64, f64) = (300.0, 200.0);
const MARGIN: (f64, f64) = (60.0, 64.0);
const COLUMNS: usize = 3;
/// Lines across a panel, as many of them as its values span.
const TICKS: [f64; 13] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

fn colour(bus: Bus) -> &'static str {
    match bus {
        Bus::Journal => "#2f6db3",
        Bus::JetStream => "#1b8a5a",
        Bus::Kafka => "#b3572f",
    }
}

/// An SVG with a ground of its own, so that it reads on light and dark pages alike.
pub fn svg(all: &Measured) -> String {
    let panels = all.sweeps.len() + usize::from(!all.long.is_empty());
    let rows = panels.div_ceil(COLUMNS);
    let (width, height) = (COLUMNS as f64 * (PANEL.0 + MARGIN.0) + 20.0, rows as f64 * (PANEL.1 + MARGIN.1) + MARGIN.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">CPU time of an event in the gateway, against that of the base point (1)</text>\n"
    );
    // Writing to a String cannot fail.
    let _infallible = legend(&mut svg);
    for (number, (sweep, series)) in all.sweeps.iter().enumerate() {
        let _infallible = panel(&mut svg, corner(number), sweep, series);
    }
    if !all.long.is_empty() {
        let _infallible = memory(&mut svg, corner(all.sweeps.len()), all);
    }
    svg.push_str("</svg>\n");
    svg
}

fn corner(number: usize) -> (f64, f64) {
    let (column, row) = ((number % COLUMNS) as f64, (number / COLUMNS) as f64);
    (MARGIN.0 + column * (PANEL.0 + MARGIN.0), MARGIN.1 + 20.0 + row * (PANEL.1 + MARGIN.1))
}

fn legend(svg: &mut String) -> fmt::Result {
    let entries = [Bus::Journal, Bus::JetStream, Bus::Kafka].map(|bus| (bus.name(), colour(bus)));
    for (number, (name, colour)) in entries.into_iter().enumerate() {
        let x = 12.0 + 110.0 * number as f64;
        writeln!(svg, "<rect x=\"{x}\" y=\"36\" width=\"14\" height=\"4\" fill=\"{colour}\"/>")?;
        writeln!(svg, "<text x=\"{}\" y=\"42\">{name}</text>", x + 20.0)?;
    }
    Ok(())
}

fn panel(svg: &mut String, (left, top): (f64, f64), sweep: &Sweep, all: &[Series]) -> fmt::Result {
    let points = 0..sweep.points.len();
    let ratios: Vec<Vec<_>> =
        all.iter().map(|series| points.clone().map(|point| series.ratio(point, sweep.base)).collect()).collect();
    let every = || ratios.iter().flatten();
    let least = every().fold(0.5, |least: f64, ratio| least.min(ratio.least)).ln();
    let most = every().fold(2.0, |most: f64, ratio| most.max(ratio.most)).ln();
    let y = |ratio: f64| top + PANEL.1 * (most - ratio.ln()) / (most - least);
    let x = |point: usize| left + PANEL.0 * (point as f64 + 0.5) / sweep.points.len() as f64;
    title(svg, (left, top), sweep.what.title())?;
    for tick in TICKS.into_iter().filter(|tick| (least..=most).contains(&tick.ln())) {
        line(svg, (left, y(tick)), (left + PANEL.0, y(tick)), if tick == 1.0 { "#999999" } else { "#e2e2e2" })?;
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>", left - 6.0, y(tick) + 4.0)?;
    }
    for (number, point) in sweep.points.iter().enumerate() {
        let label = sweep.what.label(point.value);
        let bottom = top + PANEL.1 + 16.0;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{label}</text>", x(number))?;
    }
    for (series, ratios) in all.iter().zip(&ratios) {
        let colour = colour(series.bus);
        let path: Vec<_> = ratios.iter().enumerate().map(|(point, ratio)| (x(point), y(ratio.median))).collect();
        curve(svg, &path, colour)?;
        for (point, ratio) in ratios.iter().enumerate() {
            line(svg, (x(point), y(ratio.least)), (x(point), y(ratio.most)), colour)?;
            writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(point), y(ratio.median))?;
        }
    }
    Ok(())
}

fn memory(svg: &mut String, (left, top): (f64, f64), all: &Measured) -> fmt::Result {
    let own = |look: &Look| (look.events, look.gateway);
    let curves: Vec<(_, Vec<_>)> =
        all.long.iter().map(|long| (colour(long.bus), long.looks.iter().map(own).collect())).collect();
    let every = || curves.iter().flat_map(|(_, looks)| looks);
    let events = every().map(|(events, _)| *events).max().unwrap_or(1) as f64;
    let most = every().map(|(_, bytes)| mebibytes(*bytes)).fold(1.0, f64::max);
    title(svg, (left, top), "Gateway's memory over a long run, MiB")?;
    let place = |events_so_far: u64, mebibytes: f64| {
        (left + PANEL.0 * events_so_far as f64 / events, top + PANEL.1 * (1.0 - mebibytes / most))
    };
    for part in [0.0, 0.5, 1.0] {
        let (_, y) = place(0, most * part);
        line(svg, (left, y), (left + PANEL.0, y), "#e2e2e2")?;
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>", left - 6.0, y + 4.0, most * part)?;
    }
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{events:.0} events</text>",
        left + PANEL.0,
        top + PANEL.1 + 16.0
    )?;
    for (colour, looks) in &curves {
        let path: Vec<_> = looks.iter().map(|(events, bytes)| place(*events, mebibytes(*bytes))).collect();
        curve(svg, &path, colour)?;
    }
    Ok(())
}

fn title(svg: &mut String, (left, top): (f64, f64), text: &str) -> fmt::Result {
    writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{text}</text>", top - 10.0)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) -> fmt::Result {
    writeln!(svg, "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{colour}\"/>", from.0, from.1, to.0, to.1)
}

fn curve(svg: &mut String, path: &[(f64, f64)], colour: &str) -> fmt::Result {
    let points: Vec<_> = path.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", points.join(" "))
}
