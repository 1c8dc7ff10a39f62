//! A page that is written by hand, but for what lies between two marks.

/// Where it begins.
pub const BEGIN: &str = "<!-- measured: `make scale` writes from here -->";
/// Where it ends.
pub const END: &str = "<!-- to here -->";

/// What lies between the marks, in place of what did.
pub fn put_into(page: &str, measured: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("a mark where the measured part begins");
    let (_, behind) = rest.split_once(END).expect("a mark where it ends");
    format!("{before}{BEGIN}\n\n{}\n\n{END}{behind}", measured.trim())
}
