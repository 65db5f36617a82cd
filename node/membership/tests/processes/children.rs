//! Member processes and what they write.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// For states that come within some seconds, also on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// The example `member`, which cargo builds beside the tests.
pub(super) fn member_program() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let target = test.parent().and_then(Path::parent).expect("target/debug");
    let program = target.join("examples/member");
    assert!(
        program.exists(),
        "no {}; run `cargo build -p twinscale-membership --examples`",
        program.display()
    );
    program
}

/// A line that a member wrote.
#[derive(Clone, Debug)]
pub(super) struct Line(Value);

impl Line {
    pub(super) fn says(&self, member: u64, word: &str) -> bool {
        self.0["members"][member.to_string()] == word
    }

    pub(super) fn alive(&self) -> usize {
        let members = self.0["members"].as_object();
        members.map_or(0, |members| {
            members.values().filter(|one| *one == "alive").count()
        })
    }

    pub(super) fn deaths(&self) -> u64 {
        self.0["deaths"].as_u64().unwrap_or(0)
    }

    /// How many a leaver told and did not tell.
    pub(super) fn told(&self) -> Option<(u64, u64)> {
        let left = self.0.get("left")?;
        Some((left["told"].as_u64()?, left["untold"].as_u64()?))
    }
}

/// The newest line, with when it was read; `None` before the first and after the last.
#[derive(Debug, Default)]
struct Newest {
    line: Option<(Instant, Line)>,
    ended: bool,
}

type Shared = Arc<(Mutex<Newest>, Condvar)>;

pub(super) struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    address: String,
    newest: Shared,
}

impl Child {
    pub(super) fn start(program: &Path, id: u64, seeds: &[&str]) -> Self {
        let mut process = Command::new(program)
            .arg(id.to_string())
            .args(seeds)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut first = String::new();
        output.read_line(&mut first).expect("a line");
        let first: Value = serde_json::from_str(&first).expect("JSON");
        let newest = Shared::default();
        let reader = Arc::clone(&newest);
        std::thread::spawn(move || read(output, &reader));
        Self {
            input: process.stdin.take(),
            process,
            address: first["gossip"].as_str().expect("an address").to_owned(),
            newest,
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the newest line fits; returns when it was read.
    pub(super) fn until(&self, what: &str, fits: impl Fn(&Line) -> bool) -> Instant {
        let found = self.find(now() + LIMIT, fits);
        found.unwrap_or_else(|seen| in_vain(what, &seen)).0
    }

    /// Watches every state until a moment, none of which may fit.
    pub(super) fn never_until(&self, until: Instant, what: &str, fits: impl Fn(&Line) -> bool) {
        if let Ok((_, line)) = self.find(until, fits) {
            in_vain::<()>(&format!("it saw {what}"), &format!("{line:?}"));
        }
    }

    fn find(
        &self,
        until: Instant,
        fits: impl Fn(&Line) -> bool,
    ) -> Result<(Instant, Line), String> {
        let (newest, changed) = &*self.newest;
        let mut newest = newest.lock().expect("sound");
        loop {
            if let Some((at, line)) = newest.line.clone().filter(|(_, line)| fits(line)) {
                return Ok((at, line));
            }
            let left = until.saturating_duration_since(now());
            if left.is_zero() || newest.ended {
                return Err(format!("{newest:?}"));
            }
            newest = changed.wait_timeout(newest, left).expect("sound").0;
        }
    }

    pub(super) fn deaths(&self) -> u64 {
        let newest = self.newest.0.lock().expect("sound");
        newest.line.as_ref().map_or(0, |(_, line)| line.deaths())
    }

    /// Whether the newest line says so.
    pub(super) fn says_last(&self, member: u64, word: &str) -> bool {
        let newest = self.newest.0.lock().expect("sound");
        newest
            .line
            .as_ref()
            .is_some_and(|(_, line)| line.says(member, word))
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().expect("it ran");
        self.process.wait().expect("it ended");
    }

    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("an id");
        let pid = Pid::from_raw(pid).expect("not zero");
        kill_process(pid, signal).expect("it runs");
    }

    /// Ends its input and waits for its last line.
    pub(super) fn leave(mut self) -> Line {
        drop(self.input.take());
        let found = self.find(now() + LIMIT, |line| line.told().is_some());
        found.unwrap_or_else(|seen| in_vain("its report", &seen)).1
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A process that has ended already is the one thing that can go wrong here.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn read(output: impl BufRead, shared: &Shared) {
    let (newest, changed) = &**shared;
    for line in output.lines() {
        let Some(line) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else {
            break;
        };
        newest.lock().expect("sound").line = Some((now(), Line(line)));
        changed.notify_all();
    }
    newest.lock().expect("sound").ended = true;
    changed.notify_all();
}

#[expect(clippy::disallowed_methods, reason = "times of real processes")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::panic, reason = "a test that waited in vain ends here")]
fn in_vain<T>(what: &str, seen: &str) -> T {
    panic!("not within the limit: {what}; last seen: {seen}")
}

/// Members 1 to `count` that all see each other; all but the first join through it.
pub(super) fn cluster(count: u64) -> BTreeMap<u64, Child> {
    let program = member_program();
    let first = Child::start(&program, 1, &[]);
    let seed = first.address().to_owned();
    let mut members = BTreeMap::from([(1, first)]);
    for id in 2..=count {
        members.insert(id, Child::start(&program, id, &[&seed]));
    }
    for member in members.values() {
        member.until("all alive", |line| line.alive() == members.len());
    }
    members
}
