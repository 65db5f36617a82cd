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

    /// Has it kill a process that runs now, unless the number is another's by then.
    pub(super) fn kill_at_end(&mut self, process: u32) -> Result<(), ChaosError> {
        match started_at(process) {
            // It has ended already.
            None => Ok(()),
            Some(started_at) => self.tell(&kill_line(process, &started_at)),
        }
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

/// Place of the start time behind the name in `/proc/PID/stat`.
const START_TIME_FIELD: usize = 20;

/// When a process started, in ticks since the machine did.
fn started_at(process: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in front may hold blanks and brackets.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    fields.nth(START_TIME_FIELD - 1).map(str::to_owned)
}

fn kill_line(process: u32, started_at: &str) -> String {
    format!(
        "[ \"$(sed 's/.*) //' /proc/{process}/stat | cut -d' ' -f{START_TIME_FIELD})\" = \"{started_at}\" ] \
         && kill -9 {process}"
    )
}

/// One word for a shell, whatever is in it; a line has no further lines in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::{Guard, kill_line, quoted, started_at};
    use std::fs;
    use std::path::Path;
    use std::process::Command;

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
    fn it_kills_the_process_it_was_told_of_and_no_other_of_its_number() {
        let sleeper = || Command::new("sleep").arg("600").spawn().expect("started");
        let (mut known, mut other) = (sleeper(), sleeper());
        let mut guard = Guard::post().expect("a shell");
        guard.kill_at_end(known.id()).expect("told");
        let later = started_at(other.id()).expect("it runs") + "1";
        guard.tell(&kill_line(other.id(), &later)).expect("told");
        guard.dismiss().expect("ended");
        assert!(!known.wait().expect("killed").success());
        assert_eq!(other.try_wait().expect("a state"), None, "it runs on");
        other.kill().expect("killed");
        other.wait().expect("gone");
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("a b; rm -rf $HOME"), "'a b; rm -rf $HOME'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
