//! Cuts a message into tokens, and masks what varies or could name somebody.

/// Most tokens of a message; what follows is left out.
pub const TOKENS_MAX: usize = 48;

/// Longest word that is a token of its own; a longer one is [`Mask::Long`].
pub const WORD_BYTES_MAX: usize = 32;

/// What was masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mask {
    /// A number, also with a unit, a time or a date.
    Number,
    /// Hexadecimal digits: `0x1f`, or six or more digits of which one is a letter and one is none, or eight letters.
    Hex,
    /// A UUID.
    Uuid,
    /// An IP address, also with a port or a prefix.
    Ip,
    /// A path or a URL.
    Path,
    /// A quoted string.
    Text,
    /// An e-mail address.
    Email,
    /// A word with digits in it, such as `worker-7`.
    Id,
    /// What stands behind `=` or `:` without a space, or behind a word such as `user`.
    Value,
    /// A word of more than [`WORD_BYTES_MAX`] bytes.
    Long,
}

/// Words behind which a name stands.
const NAMING_WORDS: &[&str] = &[
    "account",
    "by",
    "client",
    "customer",
    "email",
    "host",
    "hostname",
    "login",
    "mail",
    "member",
    "name",
    "owner",
    "password",
    "patient",
    "person",
    "phone",
    "principal",
    "tenant",
    "token",
    "user",
    "userid",
    "username",
];

/// Words that may stand between such a word and the name.
const LINKING_WORDS: &[&str] = &[
    "a", "an", "as", "by", "for", "from", "in", "is", "of", "on", "the", "to", "was", "with",
];

/// A token of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// Masked.
    Masked(Mask),
    /// A word, as it stands.
    Word(&'a str),
}

impl Mask {
    /// All masks, in the order of their codes.
    pub(crate) const ALL: [Self; 10] = [
        Self::Number,
        Self::Hex,
        Self::Uuid,
        Self::Ip,
        Self::Path,
        Self::Text,
        Self::Email,
        Self::Id,
        Self::Value,
        Self::Long,
    ];

    /// How a template writes it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Number => "<num>",
            Self::Hex => "<hex>",
            Self::Uuid => "<uuid>",
            Self::Ip => "<ip>",
            Self::Path => "<path>",
            Self::Text => "<str>",
            Self::Email => "<email>",
            Self::Id => "<id>",
            Self::Value => "<value>",
            Self::Long => "<long>",
        }
    }
}

/// Cuts a message into at most [`TOKENS_MAX`] tokens. Cost: linear in the bytes of the message.
///
/// White space and `= : , ; | ( ) [ ] { } < >` divide; a chunk between spaces is looked at whole first, so that an
/// IPv6 address, a time or a URL stays one token.
pub fn tokens_of<'a>(message: &'a str, tokens: &mut Vec<Token<'a>>) {
    tokens.clear();
    let mut rest = message;
    let mut names_next = false;
    let mut follows_name = false;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || tokens.len() >= TOKENS_MAX {
            break;
        }
        let from = tokens.len();
        if let Some(behind) = behind_quoted(rest) {
            tokens.push(Token::Masked(Mask::Text));
            rest = behind;
            (names_next, follows_name) = (false, false);
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (mut chunk, mut behind) = rest.split_at(end);
        // `user Bob Smith`: what follows a name and is capitalised belongs to it.
        let is_named = names_next || follows_name && chunk.starts_with(char::is_uppercase);
        // `key="two words"`: the quoted part belongs to the chunk.
        if let Some((at, after)) = quoted_inside(rest, chunk) {
            chunk = rest.get(..at).unwrap_or_default();
            behind = after;
            push_chunk(chunk, is_named, tokens);
            tokens.push(Token::Masked(Mask::Text));
        } else {
            push_chunk(chunk, is_named, tokens);
        }
        let is_masked = matches!(tokens.get(from..), Some([Token::Masked(_)]));
        follows_name = is_named && is_masked;
        names_next = match tokens.get(from..) {
            Some([Token::Word(word)]) => {
                is_one_of(word, NAMING_WORDS) || names_next && is_one_of(word, LINKING_WORDS)
            }
            // A lone sign such as the `:` of `user : bob` says nothing new.
            Some([]) => names_next,
            _ => false,
        };
        rest = behind;
    }
    tokens.truncate(TOKENS_MAX);
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// What follows a quoted string that begins here; one that never ends takes all.
fn behind_quoted(text: &str) -> Option<&str> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\'' | '`'))?;
    let inside = text.get(quote.len_utf8()..)?;
    let mut escaped = false;
    for (at, found) in inside.char_indices() {
        if escaped {
            escaped = false;
        } else if found == '\\' {
            escaped = true;
        } else if found == quote {
            return inside.get(at + 1..);
        }
    }
    Some("")
}

/// Where in a chunk a quoted string begins behind a divider, and what follows it.
fn quoted_inside<'a>(rest: &'a str, chunk: &str) -> Option<(usize, &'a str)> {
    let bytes = chunk.as_bytes();
    let at = (1..bytes.len()).find(|at| {
        matches!(bytes.get(*at), Some(b'"' | b'\'' | b'`'))
            && matches!(
                bytes.get(*at - 1),
                Some(b'=' | b':' | b'(' | b'[' | b'{' | b',')
            )
    })?;
    Some((at, behind_quoted(rest.get(at..)?)?))
}

fn push_chunk<'a>(chunk: &'a str, is_named: bool, tokens: &mut Vec<Token<'a>>) {
    let bare = chunk.trim_matches(is_wrapping);
    if bare.is_empty() {
        return;
    }
    if let Some(mask) = mask_of(bare) {
        tokens.push(Token::Masked(mask));
        return;
    }
    let mut is_value = is_named;
    let mut at: usize = 0;
    for piece in bare.split(is_dividing) {
        let divider = at
            .checked_sub(1)
            .and_then(|before| bare.as_bytes().get(before));
        is_value |= matches!(divider, Some(b'=' | b':'));
        at += piece.len() + 1;
        // A word that ends with a full stop is that word.
        let word = piece.trim_matches(is_wrapping);
        if word.is_empty() {
            continue;
        }
        // `password for user bob`: the words between stay, and the name is still to come.
        let is_between = is_named
            && piece.len() == bare.len()
            && (is_one_of(word, NAMING_WORDS) || is_one_of(word, LINKING_WORDS));
        let masked = mask_of(word).or((is_value && !is_between).then_some(Mask::Value));
        tokens.push(masked.map_or(Token::Word(word), Token::Masked));
        is_value = false;
    }
}

const fn is_dividing(sign: char) -> bool {
    matches!(
        sign,
        '=' | ':' | ',' | ';' | '|' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>'
    )
}

fn is_wrapping(sign: char) -> bool {
    is_dividing(sign) || matches!(sign, '.' | '!' | '?' | '"' | '\'' | '`' | '#' | '*')
}

/// What a chunk is masked as, if it varies by its form.
fn mask_of(text: &str) -> Option<Mask> {
    let bytes = text.as_bytes();
    if let Some(at) = text.find('@')
        && at > 0
        && at + 1 < text.len()
    {
        return Some(Mask::Email);
    }
    // `path=/x` is divided first; `https://host/?a=b` is one URL.
    let is_pair = text.find('=') < text.find('/') && text.contains('=');
    if !is_pair && ((text.len() > 1 && text.contains('/')) || text.contains('\\')) {
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        return Some(if is_ip(address) { Mask::Ip } else { Mask::Path });
    }
    if is_ip(text) {
        return Some(Mask::Ip);
    }
    if is_uuid(bytes) {
        return Some(Mask::Uuid);
    }
    if let Some(mask) = digits_mask(bytes) {
        return Some(mask);
    }
    if text.contains(is_dividing) {
        return None;
    }
    // Digits of other scripts.
    if text.chars().any(char::is_numeric) {
        return Some(Mask::Id);
    }
    (text.len() > WORD_BYTES_MAX).then_some(Mask::Long)
}

fn is_ip(text: &str) -> bool {
    if !text
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return false;
    }
    text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok()
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Masks by digits: numbers with units, hexadecimal runs, words with digits.
fn digits_mask(bytes: &[u8]) -> Option<Mask> {
    let hex = bytes
        .strip_prefix(b"0x")
        .or_else(|| bytes.strip_prefix(b"0X"));
    if hex.is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_hexdigit)) {
        return Some(Mask::Hex);
    }
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = bytes
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    let is_hex = bytes.iter().all(u8::is_ascii_hexdigit);
    if is_hex && (bytes.len() >= 8 && digits == 0 || bytes.len() >= 6 && digits > 0 && letters > 0)
    {
        return Some(Mask::Hex);
    }
    if digits == 0 {
        return None;
    }
    let is_plain = |byte: &u8| byte.is_ascii_digit() || b".,:+-_%/TZ".contains(byte);
    if bytes.iter().all(is_plain) {
        return Some(Mask::Number);
    }
    // `12ms`, `3.5GiB`, `-7s`: a unit of up to three letters.
    let value_ends = bytes
        .iter()
        .rposition(u8::is_ascii_digit)
        .map_or(0, |at| at + 1);
    let (value, unit) = bytes.split_at(value_ends);
    let has_unit = unit.len() <= 3 && unit.iter().all(u8::is_ascii_alphabetic);
    if has_unit && value.iter().all(is_plain) {
        return Some(Mask::Number);
    }
    (!bytes.iter().any(|byte| b"=:,;|()[]{}<>".contains(byte))).then_some(Mask::Id)
}

#[cfg(test)]
mod tests;
