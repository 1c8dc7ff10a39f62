//! placeholder

/// The two vendors whose webhooks hookbus understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// 1099Policy (label `1099policy`).
    Policy1099,
    /// Audit1 (label `audit1`).
    Audit1,
}

impl Vendor {
    /// Every vendor.
    pub const ALL: [Vendor; 2] = [Vendor::Policy1099, Vendor::Audit1];

    /// The name in configuration, subjects, types and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Vendor::Policy1099 => "1099policy",
            Vendor::Audit1 => "audit1",
        }
    }
}
