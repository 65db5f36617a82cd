//! `twinscale top` from outside: on a real pseudo-terminal, against a real daemon.

#![expect(
    clippy::disallowed_methods,
    reason = "outside of the process only the system's own clock says how long it took"
)]

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// For whatever is waited for; a busy machine takes seconds.
const DEADLINE: Duration = Duration::from_mins(2);

/// What a terminal is told when a view takes the whole screen, and when it gives it back.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed must not leave it behind; one that ended it finds it gone.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    fn ended(&mut self) -> ExitStatus {
        wait_for("the end of the process", || {
            self.0.try_wait().expect("a child")
        })
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "{what} did not come within {DEADLINE:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A terminal of 100 by 30, its screen read by a thread.
struct Pty {
    controller: File,
    terminal: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Pty {
    fn open() -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it opens");
        let name = ptsname(&controller, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let terminal = open(name.as_c_str(), flags, Mode::empty()).expect("it opens");
        let size = Winsize {
            ws_row: 30,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).expect("it takes a size");
        let controller = File::from(controller);
        let mut reader = controller.try_clone().expect("a second descriptor");
        let shown = Arc::new(Mutex::new(String::new()));
        let screen = Arc::clone(&shown);
        // Ends with the process of the test: the terminal stays open as long as that.
        std::thread::spawn(move || {
            let mut bytes = [0_u8; 4_096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                screen.lock().expect("no panic there").push_str(&text);
            }
        });
        Self {
            controller,
            terminal,
            shown,
        }
    }

    fn stdio(&self) -> Stdio {
        Stdio::from(self.terminal.try_clone().expect("a second descriptor"))
    }

    fn start(&self, folder: &Path, arguments: &[&str]) -> Process {
        let child = Command::new(env!("CARGO_BIN_EXE_twinscale"))
            .args(arguments)
            .current_dir(folder)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(self.stdio())
            .stdout(self.stdio())
            .stderr(self.stdio())
            .spawn();
        Process(child.expect("the built binary starts"))
    }

    fn shown(&self) -> String {
        self.shown.lock().expect("no panic there").clone()
    }

    /// Waits for words anywhere in what the terminal was told.
    #[track_caller]
    fn wait_for_text(&self, words: &str) {
        wait_for(words, || self.shown().contains(words).then_some(()));
    }

    /// Waits for words on the screen.
    #[track_caller]
    fn wait_for(&self, words: &str) {
        wait_for(words, || {
            screen(&self.shown()).contains(words).then_some(())
        });
    }

    fn press(&mut self, keys: &str) {
        self.controller
            .write_all(keys.as_bytes())
            .expect("it takes keys");
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).expect("a terminal has modes")
    }

    /// The terminal must be as it was, and the view must have been on it and gone.
    #[track_caller]
    fn is_restored(&self, before: &Termios) {
        self.wait_for_text(LEAVE);
        let shown = self.shown();
        assert_eq!(shown.matches(ENTER).count(), 1, "{shown:?}");
        assert_eq!(shown.matches(LEAVE).count(), 1, "{shown:?}");
        assert!(
            shown.contains("\u{1b}[?25h"),
            "the cursor is back: {shown:?}"
        );
        let after = self.modes();
        assert_eq!(after.local_modes, before.local_modes);
        assert_eq!(after.input_modes, before.input_modes);
        assert_eq!(after.output_modes, before.output_modes);
        assert!(
            after
                .local_modes
                .contains(LocalModes::ECHO | LocalModes::ICANON)
        );
    }
}

/// The screen that a view wrote: text at places, which is all that it needs.
fn screen(shown: &str) -> String {
    let mut cells = vec![vec![' '; 100]; 30];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut letters = shown.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            if let Some(cell) = cells.get_mut(row).and_then(|row| row.get_mut(column)) {
                *cell = letter;
            }
            column += 1;
            continue;
        }
        let mut parameters = String::new();
        let end = letters.by_ref().find(|letter| {
            parameters.push(*letter);
            letter.is_ascii_alphabetic()
        });
        if end == Some('H') {
            let place = parameters.trim_matches(['[', 'H']);
            let (wanted_row, wanted_column) = place.split_once(';').unwrap_or(("1", "1"));
            row = wanted_row.parse::<usize>().unwrap_or(1).saturating_sub(1);
            column = wanted_column
                .parse::<usize>()
                .unwrap_or(1)
                .saturating_sub(1);
        }
    }
    let rows = cells.into_iter().map(String::from_iter);
    rows.collect::<Vec<String>>().join("\n")
}

fn daemon(folder: &Path) -> (Process, String) {
    let log = File::create(folder.join("log.txt")).expect("the folder takes a file");
    let child = Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .args(["run", "--listen", "127.0.0.1:0", "--data-dir", "data"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let child = Process(child.expect("the built binary starts"));
    let address = wait_for("an address", || {
        std::fs::read_to_string(folder.join("data/listen.addr")).ok()
    });
    (child, address.trim().to_owned())
}

/// Gives a customer a stack and some hours of samples.
fn fill(address: &str, customer: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is behind 1970").as_secs();
    let mut samples = String::new();
    for step in 1..=48 {
        let (at, value) = (now - step * 300, 10 + step % 12);
        writeln!(
            samples,
            "{{\"customer\":\"{customer}\",\"vm_type\":\"web\",\"metric\":\"vm_count\",\
             \"timestamp\":{at},\"value\":{value}}}"
        )
        .expect("text grows");
    }
    send(address, "POST", "/v1/telemetry", &samples);
    let policy = "{\"policy\":{},\"stack\":{\"interval_s\":300,\"tier\":{\"web\":{\"demand\":\"web/vm_count\",\
                  \"vm_type\":[{\"name\":\"web\"}]}}}}";
    send(address, "PUT", &format!("/v1/customers/{customer}"), policy);
}

fn send(address: &str, method: &str, path: &str, body: &str) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn top(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let output = Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .arg("top")
        .args(arguments)
        .current_dir(folder)
        .output();
    output.expect("the built binary starts")
}

#[test]
fn top_shows_a_daemon_survives_its_end_and_restores_the_terminal() {
    let folder = TempDir::new().expect("a folder");
    let (mut node, address) = daemon(folder.path());
    fill(&address, "acme");
    let url = format!("http://{address}");
    let mut terminal = Pty::open();
    let before = terminal.modes();
    let mut view = terminal.start(
        folder.path(),
        &["top", "--node", &url, "--interval", "200ms"],
    );
    terminal.wait_for("acme");
    terminal.wait_for("[ready]");
    terminal.wait_for("forecaster");
    terminal.wait_for("web/vm_count");
    assert!(!terminal.modes().local_modes.contains(LocalModes::ECHO));
    terminal.press("?");
    terminal.wait_for("hold the view still");
    terminal.press("?");
    node.signal("-TERM");
    assert!(node.ended().success());
    terminal.wait_for("NO ANSWER");
    assert_eq!(view.0.try_wait().expect("a child"), None, "it goes on");
    terminal.press("q");
    assert!(view.ended().success());
    terminal.is_restored(&before);
}

#[test]
fn signals_and_ctrl_c_restore_the_terminal() {
    let folder = TempDir::new().expect("a folder");
    let (_node, address) = daemon(folder.path());
    let url = format!("http://{address}");
    for end in ["-TERM", "-INT", "\u{3}"] {
        let mut terminal = Pty::open();
        let before = terminal.modes();
        let mut view = terminal.start(folder.path(), &["top", "--node", &url]);
        terminal.wait_for("No customers yet");
        if end.starts_with('-') {
            view.signal(end);
        } else {
            terminal.press(end);
        }
        assert!(view.ended().success(), "{end}");
        terminal.is_restored(&before);
    }
}

#[test]
fn a_demo_shows_its_replay_and_ctrl_c_ends_it_with_the_terminal_restored() {
    let folder = TempDir::new().expect("a folder");
    for (end, code) in [("\u{3}", 130), ("-TERM", 143)] {
        let mut terminal = Pty::open();
        let before = terminal.modes();
        let mut demo = terminal.start(folder.path(), &["demo", "--customers", "2"]);
        terminal.wait_for("Twinscale demo");
        terminal.wait_for("a second");
        if end.starts_with('-') {
            demo.signal(end);
        } else {
            terminal.press(end);
        }
        assert_eq!(demo.ended().code(), Some(code));
        terminal.is_restored(&before);
        terminal.wait_for_text("ended by signal");
        assert!(!folder.path().join("report.html").exists());
    }
}

#[test]
fn a_demo_goes_on_when_its_view_is_closed() {
    let folder = TempDir::new().expect("a folder");
    let mut terminal = Pty::open();
    let before = terminal.modes();
    let arguments = ["demo", "--customers", "1", "--weeks", "1"];
    let mut demo = terminal.start(folder.path(), &arguments);
    terminal.wait_for("a second");
    terminal.press("q");
    assert!(demo.ended().success());
    terminal.is_restored(&before);
    terminal.wait_for_text("report: report.html");
    let report = folder.path().join("report.html");
    let viewed = std::fs::read(&report).expect("a report");
    let quiet = Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .arg("--quiet")
        .args(arguments)
        .current_dir(folder.path())
        .output();
    assert!(quiet.expect("the built binary starts").status.success());
    let plain = std::fs::read(&report).expect("a report");
    assert!(viewed == plain, "the view changed the report");
}

#[test]
fn one_snapshot_is_text_or_json_and_a_pipe_gets_lines() {
    let folder = TempDir::new().expect("a folder");
    let (_node, address) = daemon(folder.path());
    fill(&address, "acme");
    let url = format!("http://{address}");
    let once = top(folder.path(), &["--node", &url, "--once"]);
    let text = String::from_utf8_lossy(&once.stdout).into_owned();
    assert!(once.status.success() && text.contains("acme"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let json = top(folder.path(), &["--node", &url, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["schema"], "twinscale.live");
    assert_eq!(json["twins"][0]["tiers"][0]["metric"], "vm_count");
    assert_eq!(json["head"]["ready"], true);
    let child = Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .args(["top", "--node", &url, "--interval", "100ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Process(child.expect("the built binary starts"));
    let mut output = child.0.stdout.take().expect("a pipe");
    let mut text = String::new();
    while text.matches('\n').count() < 3 {
        let mut bytes = [0_u8; 512];
        let count = output.read(&mut bytes).expect("it writes");
        assert!(count > 0, "it ended after: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    drop(output);
    assert!(child.ended().success(), "it ends when nobody reads");
    assert!(text.lines().all(|line| line.contains("twins")), "{text}");
}

#[test]
fn a_node_that_is_not_there_is_an_error_of_the_environment() {
    let folder = TempDir::new().expect("a folder");
    let output = top(folder.path(), &["--node", "http://127.0.0.1:9", "--once"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("http://127.0.0.1:9") && told.contains("twinscale run"),
        "{told}"
    );
}
