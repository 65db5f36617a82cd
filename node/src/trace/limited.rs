//! A reader that refuses endless lines and counts what passes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// The message by which a line that is too long travels through readers that know only IO errors.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is too long")]
pub(super) struct LineTooLong {
    pub(super) line: u64,
}

/// Passes bytes through and fails at a line that is longer than the limit.
pub(super) struct LineLimited<R> {
    inner: R,
    limit: usize,
    since_newline: usize,
    line: u64,
}

impl<R> LineLimited<R> {
    pub(super) fn new(inner: R, limit: usize) -> Self {
        Self {
            inner,
            limit,
            since_newline: 0,
            line: 1,
        }
    }
}

impl<R: Read> Read for LineLimited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for byte in buffer.iter().take(count) {
            if *byte == b'\n' {
                self.since_newline = 0;
                self.line += 1;
            } else {
                self.since_newline += 1;
                if self.since_newline > self.limit {
                    let error = LineTooLong { line: self.line };
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
        Ok(count)
    }
}

/// Passes bytes through and counts them where another can see.
pub(super) struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> (Self, Rc<Cell<u64>>) {
        let bytes = Rc::new(Cell::new(0));
        let counted = Self {
            inner,
            bytes: Rc::clone(&bytes),
        };
        (counted, bytes)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes
            .set(self.bytes.get().saturating_add(count as u64));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn a_long_line_fails_and_short_ones_pass() {
        let mut text = String::new();
        LineLimited::new(&b"abc\nabc\n"[..], 3)
            .read_to_string(&mut text)
            .expect("short lines");
        assert_eq!(text, "abc\nabc\n");
        let error = LineLimited::new(&b"abc\nabcd\n"[..], 3)
            .read_to_string(&mut text)
            .expect_err("a long line");
        assert!(
            error
                .get_ref()
                .is_some_and(<dyn Error + Send + Sync>::is::<LineTooLong>)
        );
    }
}
