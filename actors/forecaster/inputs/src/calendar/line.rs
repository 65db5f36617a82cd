//! Content lines: folding, names, parameters, escapes (RFC 5545, sections 3.1 to 3.3).

use std::borrow::Cow;

/// Longest content line after unfolding, in bytes; what is longer is cut. Descriptions may be long and are not needed.
pub const CONTENT_LINE_BYTES_MAX: usize = 8 * 1_024;

/// Most parameters of a line that are looked at.
const PARAMETERS_MAX: usize = 16;

/// A content line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentLine {
    /// Number of its first line in the file, counted from 1.
    pub(super) number: u64,
    /// Its name, in capitals.
    pub(super) name: String,
    /// Its parameters, names in capitals, values without quotes.
    pub(super) parameters: Vec<(String, String)>,
    /// Its value, as it stands.
    pub(super) value: String,
}

impl ContentLine {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The value as a text, its escapes undone.
    pub(super) fn text(&self) -> Cow<'_, str> {
        unescape(&self.value)
    }

    /// The values of a list of texts, divided by commas that are not escaped.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut escaped = false;
        for sign in self.value.chars() {
            match sign {
                ',' if !escaped => all.push(String::new()),
                _ => {
                    if let Some(last) = all.last_mut() {
                        last.push(sign);
                    }
                }
            }
            escaped = sign == '\\' && !escaped;
        }
        all.iter()
            .map(|text| unescape(text).trim().to_owned())
            .collect()
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            plain.push(sign);
            continue;
        }
        match signs.next() {
            Some('n' | 'N') => plain.push('\n'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Cow::Owned(plain)
}

/// Unfolds a file and hands on each content line; one that cannot be read is `Err` with its number.
pub(super) fn for_each_line(bytes: &[u8], mut take: impl FnMut(Result<ContentLine, u64>)) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut whole: Vec<u8> = Vec::new();
    let mut first = 0;
    for (number, line) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Folding cuts between bytes, so characters are looked for only after unfolding.
        if let [b' ' | b'\t', folded @ ..] = line {
            let room = CONTENT_LINE_BYTES_MAX.saturating_sub(whole.len());
            whole.extend(folded.iter().take(room));
            continue;
        }
        if !whole.is_empty() {
            take(parse(first, &whole).ok_or(first));
        }
        whole.clear();
        whole.extend(line.iter().take(CONTENT_LINE_BYTES_MAX));
        first = number;
    }
    if !whole.is_empty() {
        take(parse(first, &whole).ok_or(first));
    }
}

fn parse(number: u64, bytes: &[u8]) -> Option<ContentLine> {
    // A line that was cut inside a character loses what is left of it.
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let end = text.find([';', ':'])?;
    let (name, mut rest) = text.split_at(end);
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !is_name(name) {
        return None;
    }
    let mut parameters = Vec::new();
    while let Some(behind) = rest.strip_prefix(';') {
        let (name, behind) = behind.split_once('=')?;
        let (value, behind) = parameter_value(behind)?;
        if !is_name(name) {
            return None;
        }
        if parameters.len() < PARAMETERS_MAX {
            parameters.push((name.to_ascii_uppercase(), value.to_owned()));
        }
        rest = behind;
    }
    Some(ContentLine {
        number,
        name: name.to_ascii_uppercase(),
        parameters,
        value: rest.strip_prefix(':')?.to_owned(),
    })
}

/// Reads a parameter's value, of a list of them the first.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    let mut first = None;
    let mut rest = text;
    loop {
        let (value, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find([';', ':', ','])?),
        };
        first = first.or(Some(value));
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => return first.map(|value| (value, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Result<ContentLine, u64>> {
        let mut all = Vec::new();
        for_each_line(text.as_bytes(), |line| all.push(line));
        all
    }

    #[test]
    fn folds_parameters_and_escapes_are_undone() {
        let text = "SUMMARY;LANGUAGE=en;X=\"a:b;c\",d:Big \r\n sale\\, 50 %\\; now\\n\r\nbad line\r\nA:1\r\n";
        let lines = lines(text);
        let first = lines[0].as_ref().expect("a line");
        assert_eq!(first.text(), "Big sale, 50 %; now\n");
        assert_eq!(first.parameter("X"), Some("a:b;c"));
        assert_eq!(lines[1], Err(3));
        assert_eq!(lines[2].as_ref().map(|line| line.number), Ok(4));
    }

    #[test]
    fn a_fold_inside_a_character_is_whole_again() {
        let mut bytes = b"SUMMARY:caf\xc3\r\n \xa9\r\n".to_vec();
        let mut found = Vec::new();
        for_each_line(&bytes, |line| found.push(line.expect("a line").value));
        assert_eq!(found, ["caf\u{e9}"]);
        bytes.truncate(12);
        for_each_line(&bytes, |line| assert_eq!(line.expect("cut").value, "caf"));
    }

    #[test]
    fn lists_of_texts_divide_at_commas_that_are_not_escaped() {
        let lines = lines("CATEGORIES:one,t\\,wo , three\\\\,four");
        let texts = lines[0].as_ref().expect("a line").texts();
        assert_eq!(texts, ["one", "t,wo", "three\\", "four"]);
    }
}
