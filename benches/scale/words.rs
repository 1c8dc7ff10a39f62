//! Figures as readers want them.

use crate::spread::Spread;

/// Of one event, from seconds of 100,000.
pub fn microseconds(per_100k: f64) -> f64 {
    per_100k * 10.0
}

pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// A ratio in a sentence; one that may as well be 1 is not called a difference.
pub fn times(ratio: Spread) -> String {
    let Spread { median, least, most } = ratio;
    if !(least..=most).contains(&1.0) {
        format!("{median:.2} times as much ({least:.2}-{most:.2})")
    } else if (0.9..=1.1).contains(&median) {
        format!("as much, as far as this run can tell ({median:.2}, rounds from {least:.2} to {most:.2})")
    } else {
        format!("{median:.2} times as much, but rounds go from {least:.2} to {most:.2}: this run cannot tell")
    }
}

/// Whether the rounds agree well enough to plan with.
pub fn is_steady(rounds: Spread) -> bool {
    rounds.most <= 2.0 * rounds.least
}

/// A whole number with commas.
pub fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Not less than the number: whole, or with one digit below 10.
pub fn up(number: f64) -> String {
    if number < 10.0 { format!("{:.1}", (number * 10.0).ceil() / 10.0) } else { whole(number.ceil()) }
}
