//! The bars of one source: an SVG of one bar a minute, its height by the most that there was, and the same in words.

use maud::{Markup, html};

use super::{
    trend::{Answers, BARS},
    words,
};

/// Height of the tallest bar, and the width of one with the gap after it, in the drawing's own units.
const HEIGHT: u64 = 24;
const WIDTH: usize = 3;

/// `tallest`: the answers of the tallest bar, above 0.
pub(super) fn of(bars: &[Answers], tallest: u64) -> Markup {
    let (now, most) =
        (bars.last().map_or(0, |bar| bar.all()), bars.iter().map(|bar| bar.all()).max().unwrap_or_default());
    let label = format!("{} this minute, at most {} in one", words::count(now), words::count(most));
    let first = BARS.saturating_sub(bars.len());
    html! {
        svg role="img" aria-label=(label) viewBox={ "0 0 " (BARS * WIDTH) " " (HEIGHT) } width=(BARS * WIDTH) height=(HEIGHT) {
            title { (label) }
            line.floor x1="0" x2=(BARS * WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
            @for (index, bar) in bars.iter().rev().take(BARS).rev().enumerate() {
                @for (class, top, height) in parts(*bar, tallest) {
                    rect class=(class) x=((first + index) * WIDTH) y=(top) width=(WIDTH - 1) height=(height) {}
                }
            }
        }
        small { (words::count(now)) " now, most " (words::count(most)) }
    }
}

/// The parts of a bar that are there, from the floor up: class, top, height. A part is never too low to be seen.
fn parts(bar: Answers, tallest: u64) -> impl Iterator<Item = (&'static str, u64, u64)> {
    let mut top = HEIGHT;
    [("accepted", bar.accepted), ("rejected", bar.rejected), ("failed", bar.failed)].into_iter().filter_map(
        move |(class, n)| {
            let height = (u128::from(n) * u128::from(HEIGHT)).div_ceil(u128::from(tallest.max(1)));
            let height = u64::try_from(height).unwrap_or(HEIGHT).min(top);
            top -= height;
            (height > 0).then_some((class, top, height))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_stands_on_the_floor_and_each_of_its_parts_is_seen() {
        let bar = |accepted, rejected, failed| Answers { accepted, rejected, failed };
        let parts_of = |bar, tallest| parts(bar, tallest).collect::<Vec<_>>();
        assert_eq!(parts_of(bar(0, 0, 0), 10), []);
        assert_eq!(parts_of(bar(10, 0, 0), 10), [("accepted", 0, 24)]);
        assert_eq!(parts_of(bar(5, 0, 1), 100), [("accepted", 22, 2), ("failed", 21, 1)]);
        assert_eq!(parts_of(bar(999, 1, 0), 1000), [("accepted", 0, 24)], "nothing is drawn above the top");
        assert_eq!(parts_of(bar(u64::MAX / 4, 0, 0), 1), [("accepted", 0, 24)]);
    }

    #[test]
    fn the_newest_minute_stands_at_the_right_and_is_said() {
        let bars = [Answers { accepted: 4000, ..Answers::default() }, Answers { rejected: 2, ..Answers::default() }];
        let drawn = of(&bars, 4000).into_string();
        assert!(drawn.contains(r#"aria-label="2 this minute, at most 4,000 in one""#), "{drawn}");
        assert!(drawn.contains(r#"<rect class="rejected" x="177""#), "{drawn}");
    }
}
