//! Standard output carries data, standard error everything else.
//!
//! While a live view has the terminal, lines for standard error are held back and written behind it.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Lines that are held back at the most; the oldest go first.
const HELD_MAX: usize = 500;

static HELD: Mutex<Option<Held>> = Mutex::new(None);

static PANICS: Once = Once::new();

#[derive(Debug, Default)]
struct Held {
    texts: VecDeque<String>,
    dropped: u64,
}

/// Holds lines back until it is dropped.
#[derive(Debug)]
pub struct HeldLines(());

/// Takes what is logged.
#[derive(Clone, Copy, Debug)]
pub struct LogWriter;

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
    drop(write(&format!("{text}\n")));
}

/// Holds lines for standard error back, the words of panics among them.
#[must_use]
pub fn hold() -> HeldLines {
    PANICS.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !keep(&format!("{panic}\n")) {
                usual(panic);
            }
        }));
    });
    *held() = Some(Held::default());
    HeldLines(())
}

fn held() -> MutexGuard<'static, Option<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a text where texts are held back.
fn keep(text: &str) -> bool {
    let mut held = held();
    let Some(held) = held.as_mut() else {
        return false;
    };
    if held.texts.len() >= HELD_MAX {
        held.texts.pop_front();
        held.dropped += 1;
    }
    held.texts.push_back(text.to_owned());
    true
}

fn write(text: &str) -> std::io::Result<()> {
    if keep(text) {
        return Ok(());
    }
    std::io::stderr().lock().write_all(text.as_bytes())
}

impl Drop for HeldLines {
    fn drop(&mut self) {
        let Some(Held { texts, dropped }) = held().take() else {
            return;
        };
        if dropped > 0 {
            say(&format!("{dropped} older lines were dropped"));
        }
        for text in texts {
            drop(write(&text));
        }
    }
}

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        write(&String::from_utf8_lossy(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_lines_are_bounded_and_let_go_again() {
        let lines = hold();
        for number in 0..2 * HELD_MAX {
            say(&format!("held {number}"));
        }
        {
            let held = held();
            let held = held.as_ref().expect("lines are held");
            assert_eq!(held.texts.len(), HELD_MAX);
            assert_eq!(held.dropped, HELD_MAX as u64);
        }
        drop(lines);
        assert!(!keep("free again"));
    }
}
