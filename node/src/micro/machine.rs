//! Where figures were measured; without it they say nothing.

use serde::Serialize;
use std::fmt;

/// The machine and the build of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Model name of the processor, as the kernel tells it.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Version of this program.
    pub version: &'static str,
    /// Whether the build checks its own assertions, which costs time.
    pub debug_assertions: bool,
}

impl Machine {
    /// Looks at this machine; what it does not tell is called unknown.
    #[must_use]
    pub fn here() -> Self {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            processor: model_name(&text).unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            version: env!("CARGO_PKG_VERSION"),
            debug_assertions: cfg!(debug_assertions),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assertions = if self.debug_assertions { "on" } else { "off" };
        write!(
            f,
            "twinscale {}, {} x {}, debug assertions {assertions}",
            self.version, self.processors, self.processor
        )
    }
}

/// Model name of the first processor.
fn model_name(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, name)| name.trim())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_names_the_machine() {
        let text =
            "processor\t: 0\nmodel name\t: Some CPU: 9 GHz\nprocessor\t: 1\nmodel name\t: B\n";
        assert_eq!(model_name(text), Some("Some CPU: 9 GHz"));
        assert_eq!(model_name("processor\t: 0\n"), None);
        assert_eq!(model_name("model name\t:\n"), None);
    }

    #[test]
    fn a_machine_is_told_on_one_line() {
        let machine = Machine {
            processor: "Some CPU".to_owned(),
            processors: 2,
            version: "1.2.3",
            debug_assertions: true,
        };
        let text = machine.to_string();
        assert_eq!(text, "twinscale 1.2.3, 2 x Some CPU, debug assertions on");
    }
}
