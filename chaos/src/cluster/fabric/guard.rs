//! A process that cleans up behind a run, however the run ends.
//!
//! It is told beforehand what to do, reads until nobody can tell it more, and then does it, the last thing
//! first. Its input ends when the run dismisses it, and also when the run's process is gone, by SIGINT or
//! SIGKILL: the system closes the pipe. There is one path of cleaning up, so it is always the tried one.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::ChaosError;

/// Ctrl-C reaches the whole group of a terminal, and so may kill those that clean up: it ignores that.
const SCRIPT: &str = r#"trap '' INT TERM HUP QUIT
all=''
while IFS= read -r line; do
    all="$line
$all"
done
eval "$all""#;

/// The process; dismissed when this is dropped.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    told: Option<ChildStdin>,
}

impl Guard {
    /// Starts it.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when it cannot be started.
    pub fn post() -> Result<Self, ChaosError> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "twinscale-chaos-guard"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| ChaosError::io("start", "sh", error))?;
        let told = child.stdin.take();
        Ok(Self { child, told })
    }

    /// Has it run a command at the end, before what it was told before. That it fails is no matter.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when it does not listen any more.
    pub fn at_end(&mut self, command: &[&Path]) -> Result<(), ChaosError> {
        let words = command.iter().map(|word| quoted(&word.to_string_lossy()));
        self.tell(&words.collect::<Vec<_>>().join(" "))
    }

    /// Has it kill what runs in a namespace at the end.
    pub(super) fn kill_in_name_space_at_end(&mut self, name: &str) -> Result<(), ChaosError> {
        let name = quoted(name);
        self.tell(&format!("ip netns pids {name} | xargs -r kill -9"))
    }

    /// Lets it do all it was told, and waits until it has.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when it cannot be waited for.
    pub fn dismiss(mut self) -> Result<(), ChaosError> {
        self.end()
    }

    fn tell(&mut self, line: &str) -> Result<(), ChaosError> {
        let Some(told) = &mut self.told else {
            return Ok(());
        };
        writeln!(told, "{line}")
            .and_then(|()| told.flush())
            .map_err(|error| ChaosError::io("tell", "the guard", error))
    }

    fn end(&mut self) -> Result<(), ChaosError> {
        drop(self.told.take());
        self.child
            .wait()
            .map(drop)
            .map_err(|error| ChaosError::io("wait for", "the guard", error))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Something failed before: its error is the one to report.
        drop(self.end());
    }
}

/// One word for a shell, whatever is in it; a line has no further lines in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::{Guard, quoted};
    use std::fs;
    use std::path::Path;

    #[test]
    fn it_does_what_it_was_told_the_last_thing_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("it's inner");
        fs::create_dir(&inner).expect("a folder");
        let file = inner.join("a b");
        fs::write(&file, "").expect("a file");
        let mut guard = Guard::post().expect("a shell");
        // A folder goes only when it is empty.
        guard.at_end(&[Path::new("rmdir"), &inner]).expect("told");
        guard.at_end(&[Path::new("rm"), &file]).expect("told");
        assert!(file.exists(), "not before the end");
        guard.dismiss().expect("ended");
        assert!(!inner.exists());
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("a b; rm -rf $HOME"), "'a b; rm -rf $HOME'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
