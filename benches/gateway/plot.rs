//! The main row as a picture: bars for the medians, whiskers for least and most.

use std::fmt::{self, Write as _};

use crate::{
    report::Row,
    spread::Spread,
    subject::{Kind, Window},
};

const LABELS: f64 = 230.0;
const PANEL: f64 = 300.0;
const GAP: f64 = 90.0;
const LINE: f64 = 30.0;
const TOP: f64 = 64.0;

/// An SVG of CPU time and throughput, side by side.
pub fn svg(row: &Row) -> String {
    let height = TOP + LINE * row.windows.len() as f64 + 16.0;
    let width = LABELS + 2.0 * (PANEL + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{} connections, 714-byte bodies</text>\n",
        row.size.parallel
    );
    for (number, (kind, _)) in row.windows.iter().enumerate() {
        let y = TOP + LINE * number as f64 + 18.0;
        let _infallible =
            writeln!(svg, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>", LABELS - 10.0, kind.label());
    }
    let _infallible = panel(&mut svg, LABELS, "CPU s per 100,000 events", row, |window| window.cpu)
        .and_then(|()| panel(&mut svg, LABELS + PANEL + GAP, "events per second", row, |window| window.per_second));
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, left: f64, title: &str, row: &Row, value: fn(&Window) -> f64) -> fmt::Result {
    writeln!(svg, "<text x=\"{left}\" y=\"{}\" fill=\"#555555\">{title}</text>", TOP - 12.0)?;
    let spread = |(kind, windows): &(Kind, Vec<Window>)| (*kind, Spread::of(windows.iter().map(value)));
    let spreads: Vec<_> = row.windows.iter().map(spread).collect();
    let most = spreads.iter().fold(0.0_f64, |most, (_, spread)| most.max(spread.most));
    for (number, (kind, Spread { median, least, most: top })) in spreads.into_iter().enumerate() {
        let (y, scale) = (TOP + LINE * number as f64, PANEL / most);
        let colour = if kind.is_hookbus() { "#2f6db3" } else { "#a9b4c0" };
        let text = if median < 100.0 { format!("{median:.2}") } else { format!("{:.1}k", median / 1000.0) };
        writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>",
            y + 4.0,
            median * scale
        )?;
        writeln!(
            svg,
            "<path d=\"M{:.1} {:.1}H{:.1}\" stroke=\"#111111\" stroke-width=\"1.5\"/>",
            left + least * scale,
            y + 13.0,
            left + top * scale
        )?;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{text}</text>", left + top * scale + 6.0, y + 18.0)?;
    }
    Ok(())
}
