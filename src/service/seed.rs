//! A believable installation.

use std::sync::Arc;

use super::{Env, Result};

/// Fills.
pub fn seed(_env: &Arc<Env>, _rng_seed: u64, _releases: u32) -> Result<String> {
    Ok(String::new())
}
