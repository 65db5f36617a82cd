//! Splits a body into lines, piece by piece, with bounded memory: pure.

use crate::service::limits::LINE_BYTES_MAX;

/// A line of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line that is not empty, without its end.
    Text(&'a [u8]),
    /// A line that is longer than a line may be; its bytes are not kept.
    TooLong,
}

/// Splits pieces into lines. Lines are counted from 1; empty ones are counted and not told.
#[derive(Debug, Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
    is_too_long: bool,
    number: u32,
}

impl LineSplitter {
    /// Takes the next piece and tells the lines that end in it.
    pub fn feed(&mut self, piece: &[u8], tell: &mut dyn FnMut(u32, Line<'_>)) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.partial.is_empty() && !self.is_too_long && line.len() <= LINE_BYTES_MAX {
                self.number = self.number.saturating_add(1);
                tell_text(self.number, line, tell);
            } else {
                self.keep(line);
                self.end_line(tell);
            }
        }
        self.keep(rest);
    }

    /// Tells the last line, where the body does not end with a line's end.
    pub fn finish(&mut self, tell: &mut dyn FnMut(u32, Line<'_>)) {
        if self.is_too_long || !self.partial.is_empty() {
            self.end_line(tell);
        }
    }

    /// How many lines were told or skipped so far.
    pub fn count(&self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.partial.len().saturating_add(bytes.len()) > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, tell: &mut dyn FnMut(u32, Line<'_>)) {
        self.number = self.number.saturating_add(1);
        if std::mem::take(&mut self.is_too_long) {
            tell(self.number, Line::TooLong);
        } else {
            tell_text(self.number, &self.partial, tell);
        }
        self.partial.clear();
    }
}

fn tell_text(number: u32, line: &[u8], tell: &mut dyn FnMut(u32, Line<'_>)) {
    let line = line.trim_ascii();
    if !line.is_empty() {
        tell(number, Line::Text(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]]) -> Vec<(u32, Option<Vec<u8>>)> {
        let mut lines = Vec::new();
        let mut tell = |number, line: Line<'_>| {
            lines.push((
                number,
                match line {
                    Line::Text(text) => Some(text.to_vec()),
                    Line::TooLong => None,
                },
            ));
        };
        let mut splitter = LineSplitter::default();
        for piece in pieces {
            splitter.feed(piece, &mut tell);
        }
        splitter.finish(&mut tell);
        lines
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_a_body_is_cut(
            words in proptest::collection::vec("[a-z \r]{0,12}", 0..20),
            cuts in proptest::collection::vec(0_usize..200, 0..8),
        ) {
            let body = words.join("\n").into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&body[from..cut]);
                from = cut;
            }
            pieces.push(&body[from..]);
            prop_assert_eq!(split(&pieces), split(&[&body]));
        }
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_kept() {
        let zeros = vec![0_u8; 10_000];
        let mut splitter = LineSplitter::default();
        let mut told = Vec::new();
        let mut tell = |number, line: Line<'_>| told.push((number, line == Line::TooLong));
        for _ in 0..100 {
            splitter.feed(&zeros, &mut tell);
        }
        assert!(splitter.partial.capacity() <= 2 * LINE_BYTES_MAX);
        splitter.feed(b"\nshort\n", &mut tell);
        splitter.finish(&mut tell);
        assert_eq!(told, [(1, true), (2, false)]);
    }
}
