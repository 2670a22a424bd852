//! What every fault test needs: its name, its mode, and its report, a line of facts.

use std::fmt::{Display, Write as _};
use std::time::Instant;

/// How records are delivered. The assertions of the tests differ only by this mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

impl Mode {
    /// Returns the name as in `output.delivery`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }
}

/// Makes a test for each mode from functions that take a mode.
macro_rules! in_every_mode {
    ($($test:ident),+ $(,)?) => {
        mod at_least_once {
            $(#[test]
            fn $test() {
                super::$test(crate::report::Mode::AtLeastOnce);
            })+
        }

        mod exactly_once {
            $(#[test]
            fn $test() {
                super::$test(crate::report::Mode::ExactlyOnce);
            })+
        }
    };
}
pub(crate) use in_every_mode;

/// Returns a size that the environment may set: small sizes are for every change, large ones for a night.
pub(crate) fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Returns a seed from the environment, or a new one.
pub(crate) fn seed() -> u64 {
    let new = || u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    std::env::var("SEED").map_or_else(|_| new(), |value| value.parse().unwrap())
}

/// The report of one test. If it is dropped without [`Report::ok`], it reports that the test failed.
pub(crate) struct Report {
    id: &'static str,
    mode: Mode,
    facts: String,
    verdict: &'static str,
    began: Instant,
}

impl Report {
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

    /// Fails the test as INVALID if its fault did not happen, because the test has then shown nothing.
    pub(crate) fn assert_happened(&mut self, fault: &str, happened: bool) {
        if !happened {
            self.verdict = "INVALID";
            panic!("{} is INVALID: {fault} did not happen", self.id);
        }
    }

    pub(crate) fn ok(mut self) {
        self.verdict = "ok";
    }

    /// Skips a test that this machine does not allow.
    pub(crate) fn skip(mut self, why: &str) {
        self.verdict = "SKIPPED";
        self.fact("because", why);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // The previous line may be that of the test runner, without its line end.
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
