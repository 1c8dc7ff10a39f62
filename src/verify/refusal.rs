//! Why a request is refused: a closed list, for metrics and logs.

/// Why a request is refused. The sender gets one constant `401` for all of them; metrics and logs tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No signature header of this vendor, or no timestamp beside a signature that stands alone.
    #[error("missing")]
    Missing,
    /// A signature or timestamp that cannot be one.
    #[error("malformed")]
    Malformed,
    /// A well-formed signature that no live secret made over these bytes.
    #[error("mismatch")]
    Mismatch,
    /// Rightly signed, but too long ago or too far ahead: a replay, or a wrong clock on either side.
    #[error("stale")]
    Stale,
}
