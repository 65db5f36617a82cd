//! Standard output carries data, standard error everything else.

use std::io::Write as _;

/// Writes data to standard output.
///
/// # Errors
/// When the output is closed or full.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line for people to standard error; a closed one is no reason to stop.
pub fn say(text: &str) {
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "{text}"));
}
