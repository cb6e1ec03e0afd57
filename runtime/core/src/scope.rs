//! What one call may touch.

/// x
#[derive(Debug, Default)]
pub struct Scope;
