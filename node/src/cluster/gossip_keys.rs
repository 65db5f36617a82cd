//! The file of the keys that seal gossip.

use crate::error::ExpectedError;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinscale_membership::{ClusterKey, KeyRing, SharedKeyRing};

/// How often the file is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// Reads a file of keys, one a line: the first seals, all open. Empty lines and lines that begin with `#`
/// say nothing.
///
/// # Errors
/// When the file cannot be read, has no key, or a line is none; no key is ever shown.
pub(super) fn read(path: &Path) -> Result<KeyRing, ExpectedError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ExpectedError::file("read", path, source))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<KeyRing, ExpectedError> {
    let wrong = |what: String| {
        ExpectedError::input_hint(
            format!("{} cannot be used: {what}", path.display()),
            "write one key of 64 hexadecimal digits a line, the one that seals first; twinscale ca \
             gossip-key makes one, and every node of the cluster has the same",
        )
    };
    let lines = text.lines().map(str::trim).zip(1..);
    let mut ring: Option<KeyRing> = None;
    for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let key =
            ClusterKey::from_hex(line).map_err(|error| wrong(format!("line {number}: {error}")))?;
        match &mut ring {
            None => ring = Some(KeyRing::new(key)),
            Some(ring) => ring
                .accept(key)
                .map_err(|error| wrong(format!("line {number}: {error}")))?,
        }
    }
    ring.ok_or_else(|| wrong("it has no key".to_owned()))
}

/// Has gossip use what the file says, whenever that changes; what cannot be read is told, and the former keys
/// stay in force.
#[expect(
    clippy::infinite_loop,
    reason = "whoever started it ends it with its other tasks"
)]
pub(super) async fn follow(path: PathBuf, keys: SharedKeyRing) {
    let mut last = std::fs::read_to_string(&path).ok();
    loop {
        tokio::time::sleep(LOOK_PERIOD).await;
        let now = std::fs::read_to_string(&path).ok();
        if now == last {
            continue;
        }
        match now.as_deref().map(|text| parse(&path, text)) {
            Some(Ok(ring)) => {
                keys.replace(ring);
                tracing::info!(path = %path.display(), "the keys of gossip were read again");
            }
            Some(Err(error)) => tracing::error!(%error, "the former keys of gossip stay in force"),
            None => tracing::error!(
                path = %path.display(),
                "the file of the keys of gossip cannot be read: the former ones stay in force"
            ),
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_membership::KeyState;

    const FIRST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const SECOND: &str = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_first_key_seals_and_all_open() {
        let path = Path::new("gossip.keys");
        let ring = parse(path, &format!("# ours\n{FIRST}\n\n{SECOND}\n")).expect("two keys");
        let report = ring.report();
        assert_eq!(report.len(), 2);
        let sending = report.iter().filter(|key| key.state == KeyState::Sending);
        let first = ClusterKey::from_hex(FIRST).expect("a key").id();
        assert!(sending.map(|key| key.id).eq([first]));
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        let path = Path::new("gossip.keys");
        for (text, words) in [
            ("# nothing\n".to_owned(), "no key"),
            (format!("{FIRST}\n0123456789abcdefg"), "line 2"),
        ] {
            let error = parse(path, &text).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("0123456789abcdefg"), "{error}");
        }
    }
}
