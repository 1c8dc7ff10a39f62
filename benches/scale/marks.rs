//! A page that is written by hand, but for what lies between two marks.

/// Where it begins.
pub const BEGIN: &str = "<!-- measured: `make scale` writes from here -->";
/// Where it ends.
pub const END: &str = "<!-- to here -->";

/// What is written by hand: before the first mark, and behind the second.
#[derive(Debug, Clone, Copy)]
pub struct Around<'page> {
    before: &'page str,
    behind: &'page str,
}

impl<'page> Around<'page> {
    pub fn of(page: &'page str) -> Self {
        let (before, rest) = page.split_once(BEGIN).expect("a mark where the measured part begins");
        let (_, behind) = rest.split_once(END).expect("a mark where it ends");
        Around { before, behind }
    }

    /// The page with another measured part.
    pub fn with(self, measured: &str) -> String {
        let Around { before, behind } = self;
        format!("{before}{BEGIN}\n\n{}\n\n{END}{behind}", measured.trim())
    }
}
