//! What every fault test begins and ends with: its name, its mode, its line of facts.

use std::fmt::{Display, Write as _};
use std::time::Instant;

/// How records are delivered. What must hold differs by it, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

impl Mode {
    /// As in `output.delivery`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }
}

/// Makes a test of each mode from functions that take one.
macro_rules! in_every_mode {
    ($($test:ident),+ $(,)?) => {
        mod at_least_once {
            $(#[test]
            fn $test() {
                super::$test(crate::trial::Mode::AtLeastOnce);
            })+
        }

        mod exactly_once {
            $(#[test]
            fn $test() {
                super::$test(crate::trial::Mode::ExactlyOnce);
            })+
        }
    };
}
pub(crate) use in_every_mode;

/// A size that the environment may set: small ones are for every change, large ones for a night.
pub(crate) fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// A seed from the environment, or a new one; it is printed either way.
pub(crate) fn seed() -> u64 {
    let new = || u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    std::env::var("SEED").map_or_else(|_| new(), |value| value.parse().unwrap())
}

/// One test's line. Dropped without [`Trial::ok`] it says that the test failed.
pub(crate) struct Trial {
    id: &'static str,
    mode: Mode,
    facts: String,
    verdict: &'static str,
    began: Instant,
}

impl Trial {
    pub(crate) fn new(id: &'static str, mode: Mode) -> Self {
        Self {
            id,
            mode,
            facts: String::new(),
            verdict: "FAILED",
            began: Instant::now(),
        }
    }

    pub(crate) fn fact(&mut self, name: &str, value: impl Display) {
        write!(self.facts, " {name}={value}").unwrap();
    }

    /// A test whose fault did not happen has shown nothing.
    pub(crate) fn proves(&mut self, fault: &str, happened: bool) {
        if !happened {
            self.verdict = "INVALID";
            panic!("{} is INVALID: {fault} did not happen", self.id);
        }
    }

    pub(crate) fn ok(mut self) {
        self.verdict = "ok";
    }

    /// For what this machine does not allow.
    pub(crate) fn skip(mut self, why: &str) {
        self.verdict = "SKIPPED";
        self.fact("because", why);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // The line before it may be the test runner's, without its end.
        println!(
            "\n{} {} mode={}{} seconds={}",
            self.id,
            self.verdict,
            self.mode.name(),
            self.facts,
            self.began.elapsed().as_secs()
        );
    }
}
