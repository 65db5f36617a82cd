//! The trace that a call belongs to, in the form of the W3C: `traceparent`.

use std::fmt;
use std::str::FromStr;

/// The trace that a call belongs to.
///
/// Source: W3C Trace Context, section 3.2 (`traceparent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    parent: u64,
    flags: u8,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a traceparent: want 00-(32 hex digits)-(16 hex digits)-(2 hex digits), neither id zero"
)]
pub struct ParseTraceError;

impl TraceContext {
    /// Makes a context; `None` when an id is zero, which means none.
    pub fn new(trace: u128, parent: u64, sampled: bool) -> Option<Self> {
        (trace != 0 && parent != 0).then_some(Self {
            trace,
            parent,
            flags: u8::from(sampled),
        })
    }

    /// The trace's identity.
    pub fn trace_id(self) -> u128 {
        self.trace
    }

    /// The identity of the span that made the call.
    pub fn parent_id(self) -> u64 {
        self.parent
    }

    /// Whether the caller records this trace.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.parent, self.flags
        )
    }
}

impl FromStr for TraceContext {
    type Err = ParseTraceError;

    fn from_str(text: &str) -> Result<Self, ParseTraceError> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().ok_or(ParseTraceError)?;
            let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
            if part.len() != digits || !part.bytes().all(is_hex) {
                return Err(ParseTraceError);
            }
            u128::from_str_radix(part, 16).or(Err(ParseTraceError))
        };
        let version = hex(2)?;
        let trace = hex(32)?;
        let parent = u64::try_from(hex(16)?).or(Err(ParseTraceError))?;
        let flags = u8::try_from(hex(2)?).or(Err(ParseTraceError))?;
        // Later versions may append fields; version 255 is invalid by definition.
        if version == 255 || (version == 0 && parts.next().is_some()) {
            return Err(ParseTraceError);
        }
        if trace == 0 || parent == 0 {
            return Err(ParseTraceError);
        }
        Ok(Self {
            trace,
            parent,
            flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_standard_comes_back() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: TraceContext = text.parse().expect("the standard's example");
        assert_eq!(context.to_string(), text);
        assert!(context.is_sampled());
        for bad in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(ParseTraceError));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,80}") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert!(context.trace_id() != 0);
            }
        }
    }
}
