//! Several rounds as one figure.

use std::fmt;

/// Median, least and most of the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Spread { median: middle, least: values[0], most: values[values.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, least, most } = self;
        if *median < 100.0 {
            write!(f, "{median:.2} ({least:.2}-{most:.2})")
        } else if *median < 1000.0 {
            write!(f, "{median:.0} ({least:.0}-{most:.0})")
        } else {
            let thousands = |n: f64| format!("{:.1}k", n / 1000.0);
            write!(f, "{} ({}-{})", thousands(*median), thousands(*least), thousands(*most))
        }
    }
}
