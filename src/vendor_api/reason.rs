//! Why a vendor's API gave nothing, as a closed list: the same for looks and for follow-up calls.

use super::error::ApiError;
use crate::metrics::Label;

/// As a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A credential or the authority's file cannot be read, or the vendor does not take it: 401.
    Credential,
    /// 429: too many calls.
    RateLimited,
    /// 5xx, or 408.
    Fault,
    /// No answer, or none to its end.
    NoAnswer,
    /// Any other answer that says no: 403, 404.
    Refused,
    /// An answer of another shape than the documents show.
    Shape,
}

impl Label for Reason {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Reason::Credential, "credential"),
            (Reason::RateLimited, "rate_limited"),
            (Reason::Fault, "fault"),
            (Reason::NoAnswer, "no_answer"),
            (Reason::Refused, "refused"),
            (Reason::Shape, "shape"),
        ]
    }
}

impl From<&ApiError> for Reason {
    fn from(error: &ApiError) -> Self {
        match error {
            ApiError::NoAnswer { .. } => Reason::NoAnswer,
            ApiError::Odd { .. } => Reason::Shape,
            ApiError::Refused { status, .. } => match status {
                401 => Reason::Credential,
                429 => Reason::RateLimited,
                408 | 500..=599 => Reason::Fault,
                _ => Reason::Refused,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_reason() {
        let reason = |status| {
            let error = ApiError::Refused { call: String::new(), status, said: None, retry_after: None };
            Reason::from(&error).as_str()
        };
        let statuses = [401, 408, 429, 500, 503, 403, 404, 410, 422];
        let expected =
            ["credential", "fault", "rate_limited", "fault", "fault", "refused", "refused", "refused", "refused"];
        assert_eq!(statuses.map(reason), expected);
    }
}
