//! Who talks to whom, by the names in a container's environment and arguments.

/// Ends of variable names whose value is where something is.
const PLACE_WORDS: &[&str] = &[
    "HOST",
    "HOSTS",
    "HOSTNAME",
    "ADDR",
    "ADDRESS",
    "ADDRESSES",
    "URL",
    "URLS",
    "URI",
    "SERVER",
    "SERVERS",
    "ENDPOINT",
    "ENDPOINTS",
    "BROKER",
    "BROKERS",
    "UPSTREAM",
    "BACKEND",
    "DSN",
    "NODES",
    "SERVICE",
    "BOOTSTRAP",
];

/// Words of variable names whose address is the container's own, as others see it.
const OWN_WORDS: &[&str] = &[
    "ADVERTISED",
    "LISTEN",
    "LISTENERS",
    "BIND",
    "SELF",
    "CALLBACK",
];

/// Finds the names of services that a variable's value points to, in the order of their appearance.
///
/// A name counts as the host of a URL, before a port, after `@` or `host=`, or as the whole value of a variable
/// whose name says that it is a place (`DB_HOST`, `API_URL`).
pub(crate) fn names_in<'a>(variable: &str, value: &str, known: &[&'a str]) -> Vec<&'a str> {
    let upper = variable.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(['_', '.', '-']).collect();
    if words.iter().any(|word| OWN_WORDS.contains(word)) {
        return Vec::new();
    }
    let is_place = words.iter().any(|word| PLACE_WORDS.contains(word));
    let mut found = Vec::new();
    let mut rest = value;
    let mut before = String::new();
    while !rest.is_empty() {
        let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        if !token.is_empty() && points_to(&before, token, after, is_place) {
            // `db.shop.svc.cluster.local` is the service `db`.
            let host = token.split('.').next().unwrap_or_default();
            let named = known.iter().find(|name| **name == token || **name == host);
            if let Some(name) = named.filter(|name| !found.contains(*name)) {
                found.push(*name);
            }
        }
        before.push_str(token);
        let next = after.chars().next();
        before.extend(next);
        rest = next.map_or("", |c| after.get(c.len_utf8()..).unwrap_or_default());
    }
    found
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn points_to(before: &str, token: &str, after: &str, is_place: bool) -> bool {
    let lower = before.to_ascii_lowercase();
    let after_scheme = lower.ends_with("://") || lower.ends_with('@') || lower.ends_with("host=");
    // `user:secret@host`: what stands before the colon is no host.
    let port = after.strip_prefix(':').map(|rest| {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let beyond = rest.chars().nth(digits);
        digits > 0 && !matches!(beyond, Some('@')) && !beyond.is_some_and(is_name_char)
    });
    let is_host = if after_scheme {
        !after.contains('@') || lower.ends_with('@') || after.starts_with(['/', ','])
    } else {
        port == Some(true) && !lower.ends_with(':')
    };
    let is_entry = is_place
        && (before.is_empty() || lower.ends_with([',', ';', ' ']))
        && (after.is_empty() || after.starts_with([',', ';', ' ', '/']));
    (is_host || is_entry) && !token.chars().all(|c| c.is_ascii_digit())
}

/// Puts defaults in the place of Compose's variables: `${NAME:-default}`; what has none is left away.
pub(crate) fn interpolated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        out.push_str(plain);
        if let Some(literal) = after.strip_prefix('$') {
            out.push('$');
            rest = literal;
        } else if let Some(braced) = after.strip_prefix('{') {
            let Some((inner, beyond)) = braced.split_once('}') else {
                out.push('$');
                rest = after;
                continue;
            };
            let name_end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let (_, operator) = inner.split_at(name_end.unwrap_or(inner.len()));
            let default = operator.strip_prefix(":-").or(operator.strip_prefix('-'));
            out.push_str(default.unwrap_or_default());
            rest = beyond;
        } else {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            rest = after.split_at(end.unwrap_or(after.len())).1;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_and_words_are_not() {
        let known = ["db", "redis", "web", "kafka-0", "kafka-1"];
        for (variable, value, expected) in [
            (
                "DATABASE_URL",
                "postgres://app:secret@db:5432/shop",
                vec!["db"],
            ),
            ("DATABASE_URL", "postgres://web:5432@db/shop", vec!["db"]),
            ("DB_HOST", "db", vec!["db"]),
            ("DB_NAME", "db", vec![]),
            ("MODE", "web", vec![]),
            ("CACHE", "redis:6379", vec!["redis"]),
            (
                "BROKERS",
                "kafka-0:9092,kafka-1:9092",
                vec!["kafka-0", "kafka-1"],
            ),
            (
                "KAFKA_ADVERTISED_LISTENERS",
                "PLAINTEXT://kafka-0:9092",
                vec![],
            ),
            ("DSN", "host=db port=5432 user=web", vec!["db"]),
            ("MYSQL_DSN", "app:pw@tcp(db:3306)/shop", vec!["db"]),
            (
                "API_URL",
                "http://web.shop.svc.cluster.local/v1",
                vec!["web"],
            ),
            ("TITLE", "the web shop: db and redis", vec![]),
            ("IMAGE", "registry/web:1.2", vec![]),
        ] {
            assert_eq!(
                names_in(variable, value, &known),
                expected,
                "{variable}={value}"
            );
        }
    }

    #[test]
    fn defaults_take_the_place_of_variables() {
        for (text, expected) in [
            ("${DB:-db}:5432", "db:5432"),
            ("$USER@${HOST-web}", "@web"),
            ("a$$b ${X:?needed} ${unclosed", "a$b  ${unclosed"),
        ] {
            assert_eq!(interpolated(text), expected);
        }
    }
}
