//! What whoever measures must know, although the work goes on.

/// Tells it on standard error, where progress is told as well.
#[expect(
    clippy::print_stderr,
    reason = "a program of its own, in a container without a log"
)]
pub(crate) fn warn(text: &str) {
    eprintln!("warning: {text}");
}
