//! Faults on purpose: each breaks a promise, and the tests that `tests/mutants.toml` names must notice.
//!
//! They are there in builds with the feature `mutants` alone, which only `.ci/mutants` makes; it switches one on by
//! `SLIPWAY_TEST_MUTANT`. In every other build [`mutant`] is `false` when it is compiled, and leaves nothing behind.

/// True where this fault is switched on: never.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}

/// True where this fault is switched on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("SLIPWAY_TEST_MUTANT").unwrap_or_default());
    *CHOSEN == name
}
