//! Small pieces of SVG: escaping, scales, ticks, paths.

use std::fmt::Write as _;

/// Writes formatted text to a page; a `String` takes all text.
macro_rules! put {
    ($page:expr, $($arg:tt)*) => {{
        let written = ::std::fmt::Write::write_fmt($page, format_args!($($arg)*));
        debug_assert!(written.is_ok(), "a String takes all text");
    }};
}
pub(crate) use put;

/// Makes text safe within HTML and SVG, attributes included.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// A linear map from data to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) pixel_from: f64,
    pub(super) pixel_to: f64,
}

impl Scale {
    pub(super) fn at(&self, value: f64) -> f64 {
        let span = self.to - self.from;
        if span.abs() < f64::EPSILON {
            return self.pixel_from;
        }
        self.pixel_from + (value - self.from) / span * (self.pixel_to - self.pixel_from)
    }
}

/// Round numbers from 0 to at most `most`, about `count` of them.
pub(crate) fn ticks(most: f64, count: f64) -> Vec<f64> {
    if !(most.is_finite() && most > 0.0) {
        return vec![0.0];
    }
    let raw = most / count;
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= raw)
        .unwrap_or(10.0 * magnitude);
    let mut values = Vec::new();
    let mut value = 0.0;
    while value <= most * 1.000_001 && values.len() < 50 {
        values.push(value);
        value += step;
    }
    values
}

/// A path under construction, in pixels with one decimal.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
    last: Option<(f64, f64)>,
}

impl Path {
    /// Moves without drawing.
    pub(super) fn lift(&mut self) {
        self.last = None;
    }

    /// Draws a straight line to a point.
    pub(super) fn line(&mut self, x: f64, y: f64) {
        let command = if self.last.is_some() { 'L' } else { 'M' };
        let written = write!(self.text, "{command}{x:.1} {y:.1}");
        debug_assert!(written.is_ok(), "a String takes all text");
        self.last = Some((x, y));
    }

    /// Draws a step: along at `y` from `x` to `until`.
    pub(super) fn step(&mut self, x: f64, until: f64, y: f64) {
        match self.last {
            // A level that stays needs no new corner.
            Some((_, last_y)) if (last_y - y).abs() < 0.05 => {
                self.replace_end(until, y);
            }
            _ => {
                self.line(x, y);
                let written = write!(self.text, "H{until:.1}");
                debug_assert!(written.is_ok(), "a String takes all text");
                self.last = Some((until, y));
            }
        }
    }

    fn replace_end(&mut self, until: f64, y: f64) {
        if let Some(at) = self.text.rfind('H') {
            self.text.truncate(at);
        }
        let written = write!(self.text, "H{until:.1}");
        debug_assert!(written.is_ok(), "a String takes all text");
        self.last = Some((until, y));
    }

    /// Reads the path's data.
    pub(super) fn data(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped("<script>\"&'\n"), "&lt;script&gt;&quot;&amp;&#39; ");
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(9.0, 4.0), [0.0, 2.5, 5.0, 7.5]);
        assert_eq!(ticks(1_000.0, 4.0), [0.0, 250.0, 500.0, 750.0, 1_000.0]);
        assert_eq!(ticks(0.0, 4.0), [0.0]);
        assert_eq!(ticks(f64::NAN, 4.0), [0.0]);
    }

    #[test]
    fn equal_steps_join() {
        let mut path = Path::default();
        path.step(0.0, 1.0, 5.0);
        path.step(1.0, 2.0, 5.0);
        path.step(2.0, 3.0, 7.0);
        assert_eq!(path.data(), "M0.0 5.0H2.0L2.0 7.0H3.0");
    }
}
