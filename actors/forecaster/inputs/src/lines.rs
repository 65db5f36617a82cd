//! Cuts a stream of bytes into lines, with bounded memory.

/// Longest line, in bytes, end of line excluded; what is longer is cut there. A stack trace in one JSON line fits.
pub const LINE_BYTES_MAX: usize = 16 * 1_024;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, counted from 1.
    pub number: u64,
    /// Its bytes, without `\n` or `\r\n`.
    pub bytes: &'a [u8],
    /// Whether the line was longer than [`LINE_BYTES_MAX`] and the rest is missing.
    pub is_cut: bool,
}

/// Keeps the line that has not ended yet. Memory: at most [`LINE_BYTES_MAX`] + 1 bytes.
#[derive(Clone, Debug, Default)]
pub struct LineSplitter {
    pending: Vec<u8>,
    has_pending: bool,
    number: u64,
}

impl LineSplitter {
    /// Takes a piece of the stream and hands on each line that ends in it.
    pub fn feed(&mut self, mut piece: &[u8], take: &mut impl FnMut(Line<'_>)) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            if self.has_pending {
                self.keep(line);
                self.hand_on(take);
            } else {
                self.number = self.number.saturating_add(1);
                take(cut(self.number, line));
            }
            piece = rest.get(1..).unwrap_or_default();
        }
        if !piece.is_empty() {
            self.keep(piece);
        }
    }

    /// Hands on a last line that has no end.
    pub fn finish(&mut self, take: &mut impl FnMut(Line<'_>)) {
        if self.has_pending {
            self.hand_on(take);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.has_pending = true;
        // One byte more than the limit tells a line that was cut from one that just fits; `\r` may be that byte.
        let room = (LINE_BYTES_MAX + 2).saturating_sub(self.pending.len());
        self.pending.extend(bytes.iter().take(room));
    }

    fn hand_on(&mut self, take: &mut impl FnMut(Line<'_>)) {
        self.number = self.number.saturating_add(1);
        take(cut(self.number, &self.pending));
        self.pending.clear();
        self.has_pending = false;
    }
}

fn cut(number: u64, bytes: &[u8]) -> Line<'_> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Line {
        number,
        bytes: bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes),
        is_cut: bytes.len() > LINE_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<(u64, Vec<u8>, bool)> {
        let mut all = Vec::new();
        let mut take = |line: Line<'_>| all.push((line.number, line.bytes.to_vec(), line.is_cut));
        let mut splitter = LineSplitter::default();
        for piece in pieces {
            splitter.feed(piece, &mut take);
        }
        splitter.finish(&mut take);
        all
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let lines = lines_of(&[&long[..10], &long[10..], b"\r\nnext"]);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].1.len(), lines[0].2), (LINE_BYTES_MAX, true));
        assert_eq!(lines[1], (2, b"next".to_vec(), false));
        let fits = [vec![b'x'; LINE_BYTES_MAX], b"\r\n".to_vec()].concat();
        assert!(!lines_of(&[&fits[..100], &fits[100..]])[0].2);
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_lines(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            at in 0_usize..200,
        ) {
            let (one, other) = text.split_at(at.min(text.len()));
            prop_assert_eq!(lines_of(&[&text]), lines_of(&[one, other]));
        }
    }
}
