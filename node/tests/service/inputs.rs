//! What systems emit, from the file to the daemon: counts arrive, and neither users nor lines do. Patterns,
//! forecasts and what-if answer over HTTP and on the command line.

use super::{Daemon, now, start};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

const HOUR_S: u64 = 3_600;

fn twinscale(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("the built binary starts")
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Passes connections on to the daemon and hands over all bytes that were sent to it.
fn overheard(daemon: &Daemon) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (heard, bytes) = channel();
    let upstream = daemon.address.clone();
    // It ends with the process; a test that is over asks for nothing more.
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (heard, upstream) = (heard.clone(), upstream.clone());
            std::thread::spawn(move || pass_on(client, &upstream, &heard));
        }
    });
    (address, bytes)
}

fn pass_on(mut client: TcpStream, upstream: &str, heard: &std::sync::mpsc::Sender<Vec<u8>>) {
    let mut daemon = TcpStream::connect(upstream).expect("the daemon listens");
    let (mut answers, mut back) = (
        daemon.try_clone().expect("a stream"),
        client.try_clone().expect("a stream"),
    );
    std::thread::spawn(move || {
        // A connection that one side closed is over.
        drop(std::io::copy(&mut answers, &mut back));
    });
    let mut piece = [0; 8_192];
    while let Ok(read @ 1..) = client.read(&mut piece) {
        drop(heard.send(piece[..read].to_vec()));
        if daemon.write_all(&piece[..read]).is_err() {
            return;
        }
    }
}

/// All bytes of all files below a folder.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// Lines of activity and of a log that name each user once, a minute apart.
fn written(folder: &TempDir, users: &[String], begin: u64) -> (String, String) {
    let lines = |line: &dyn Fn(u64, &str) -> String| {
        let lines = (begin..).step_by(60).zip(users);
        let lines: Vec<String> = lines.map(|(at, user)| line(at, user)).collect();
        lines.concat()
    };
    let activity = lines(&|at, user| {
        format!("{{\"at\":{at},\"user\":\"{user}\",\"cohort\":\"free\",\"action\":\"search\"}}\n")
    });
    let log = lines(&|at, user| {
        format!(
            "{{\"time\":{at},\"level\":\"error\",\"message\":\"payment of {user} failed after 7 ms\"}}\n"
        )
    });
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    (file("activity", activity), file("log", log))
}

/// Sends activity and logs, with a state and without; gives all that was printed.
fn send_all(folder: &TempDir, url: &str, activity: &str, log: &str) -> Vec<u8> {
    succeeds(&twinscale(folder, &["send", "secret", "secret"]));
    let source = [
        "--customer",
        "acme",
        "--vm-type",
        "web",
        "--interval",
        "3600",
        "--secret",
        "secret",
        "--url",
        url,
    ];
    let named = ["--cohorts", "free", "--actions", "search"];
    let runs: [(&str, &str, &[&str]); 4] = [
        ("activity", activity, &["--state", "activity.state"]),
        ("activity", activity, &[]),
        (
            "logs",
            log,
            &["--format", "json", "--state", "log.state", "--templates"],
        ),
        ("logs", log, &["--format", "json"]),
    ];
    let told = runs.map(|(what, file, more)| {
        let named: &[&str] = if what == "activity" { &named } else { &[] };
        let output = twinscale(
            folder,
            &[&["send", what, file], &source[..], named, more].concat(),
        );
        succeeds(&output);
        [output.stdout, output.stderr].concat()
    });
    told.concat()
}

#[test]
fn users_are_counted_and_neither_they_nor_lines_of_logs_leave_the_process() {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    let (address, heard) = overheard(&daemon);
    let users: Vec<String> = (0..40)
        .map(|user| format!("mallory-{user}@example.org"))
        .collect();
    // The inputs lie elsewhere: what is searched for identifiers must not hold them itself.
    let inputs = TempDir::new().expect("a folder");
    let begin = now() / HOUR_S * HOUR_S - 3 * HOUR_S;
    let (activity, log) = written(&inputs, &users, begin);
    let told = send_all(&folder, &format!("http://{address}"), &activity, &log);
    for metric in ["active_users", "log_error"] {
        let path = format!("/v1/customers/acme/observations?vm_type=web&metric={metric}");
        let samples = daemon.get(&path)["samples"].clone();
        let values = samples.as_array().expect("a list").iter();
        let total: f64 = values.filter_map(|sample| sample[1].as_f64()).sum();
        assert!((total - 40.0).abs() < 1e-9, "{metric}: {samples}");
    }
    let mut wire = Vec::new();
    while let Ok(piece) = heard.recv_timeout(Duration::from_millis(200)) {
        wire.extend(piece);
    }
    assert!(holds(&wire, "active_users"), "the wire was heard");
    let mut places = files_below(folder.path());
    assert!(
        places
            .iter()
            .any(|(path, _)| path.ends_with("activity.state"))
    );
    places.push((PathBuf::from("the wire"), wire));
    places.push((PathBuf::from("what was printed"), told));
    for user in &users {
        // SHA-256 without a key, as a guesser would try it.
        let plain = plain_digest(user);
        let name = user.split('@').next().expect("a name");
        for (place, bytes) in &places {
            for secret in [user.as_str(), &plain, name] {
                assert!(
                    !holds(bytes, secret),
                    "`{secret}` is in {}",
                    place.display()
                );
            }
        }
    }
}

/// Hex of a plain SHA-256.
fn plain_digest(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(text.as_bytes());
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// A customer with four weeks of hours: three times as much from 8 to 18 h.
fn week(daemon: &Daemon) {
    let begin = now() / HOUR_S * HOUR_S - 28 * 24 * HOUR_S;
    let lines: String = (0..28 * 24)
        .map(|hour| {
            let at = begin + hour * HOUR_S;
            let busy = (8..18).contains(&(at / HOUR_S % 24));
            super::line(
                "acme",
                "web",
                at,
                if busy { 3_000 } else { 1_000 } + u32::try_from(hour % 7).expect("small") * 10,
            )
        })
        .collect();
    daemon.post(&lines);
    let body = r#"{"policy": {"mode": "advise", "metrics": {"requests": {"capacity_per_vm": 500, "target_utilisation": 0.8}}},
        "stack": {"interval_s": 3600, "horizon_steps": 24, "tier": {"web": {"demand": "web/requests",
        "vm_type": [{"name": "web", "price_per_hour_usd": 0.1, "vcpu": 2, "memory_gib": 4}]}}}}"#;
    let (status, told) = daemon.send(
        "PUT",
        "/v1/customers/acme",
        "content-type: application/json\r\n",
        body.as_bytes(),
    );
    assert_eq!(status, 200, "{told}");
}

/// A daemon that has the customer's weeks; its folder and its address.
fn acme() -> (TempDir, Daemon, String) {
    let folder = TempDir::new().expect("a folder");
    let daemon = start(&folder, None);
    week(&daemon);
    let url = format!("http://{}", daemon.address);
    (folder, daemon, url)
}

#[test]
fn patterns_and_what_if_of_a_customer_answer() {
    let (folder, daemon, url) = acme();
    let text = succeeds(&twinscale(
        &folder,
        &["patterns", "--customer", "acme", "--url", &url],
    ));
    assert!(
        text.contains("web/requests") && text.contains("08:00"),
        "{text}"
    );
    let patterns = daemon.get("/v1/customers/acme/patterns?metric=requests");
    assert_eq!(
        patterns["series"][0]["report"]["format"],
        "twinscale-patterns/1"
    );

    let at = jiff::Timestamp::from_second(
        i64::try_from(now() / HOUR_S * HOUR_S + 4 * HOUR_S).expect("small"),
    )
    .expect("a time");
    let event = format!("campaign@{at}..2h,x3");
    let question = [
        "what-if",
        "--customer",
        "acme",
        "--url",
        &url,
        "--event",
        &event,
        "--customer-growth",
        "10%",
        "--json",
    ];
    let answer = succeeds(&twinscale(&folder, &question));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let series = &answer["series"][0];
    let median = |side: &str, step: usize| series[side][step][3].as_f64().expect("a median");
    let ratio = |step: usize| median("quantiles_then", step) / median("quantiles", step);
    assert!((ratio(0) - 1.1).abs() < 1e-3, "{}", ratio(0));
    assert!((ratio(4) - 3.3).abs() < 1e-3, "{}", ratio(4));
    let total = |side: &str| answer[side]["total_usd"].as_f64();
    let (today, then) = (total("plan"), total("plan_then"));
    assert!(today.expect("a plan") < then.expect("a plan"), "{answer}");
    let table = succeeds(&twinscale(&folder, &question[..question.len() - 1]));
    assert!(table.contains("plan in all"), "{table}");

    let far = twinscale(
        &folder,
        &[
            "what-if",
            "--customer",
            "acme",
            "--url",
            &url,
            "--event",
            "campaign@2099-01-01T00:00Z",
        ],
    );
    let told = String::from_utf8_lossy(&far.stderr);
    assert_eq!(far.status.code(), Some(3), "{told}");
    assert!(
        told.contains("horizon of 168 steps") && told.contains("interval_s"),
        "{told}"
    );
    super::ahead::what_if_looks_as_far_ahead_as_it_must(&daemon);
    let (status, told) = daemon.send("GET", "/v1/customers/acme/forecast?paths=999", "", b"");
    assert_eq!(status, 400, "{told}");
    a_week_is_forecast_and_nothing_of_it_stored(&folder, &daemon, &url);
}

fn a_week_is_forecast_and_nothing_of_it_stored(folder: &TempDir, daemon: &Daemon, url: &str) {
    let stored = daemon.get("/v1/customers/acme/forecast");
    let arguments = ["forecast", "--customer", "acme", "--url", url, "--json"];
    let more = ["--steps", "168", "--paths", "3", "--svg", "fans"];
    let output = succeeds(&twinscale(folder, &[&arguments[..], &more[..]].concat()));
    let week: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(week["issued_at"], stored["issued_at"]);
    assert_eq!(daemon.get("/v1/customers/acme/forecast"), stored);
    let week = &week["series"][0];
    let steps = week["quantiles"].as_array().expect("steps");
    assert_eq!(steps.len(), 168);
    let ascending = |step: &serde_json::Value| {
        let step = step.as_array().expect("quantiles").iter();
        step.map(|one| one.as_f64().expect("a number")).is_sorted()
    };
    assert!(steps.iter().all(ascending), "{week}");
    let paths = week["paths"].as_array().expect("paths").iter();
    let lengths: Vec<usize> = paths
        .map(|path| path.as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(lengths, [168; 3]);
    let fan = std::fs::read_to_string(folder.path().join("fans/acme_web_requests.svg"));
    assert!(fan.expect("a picture").ends_with("</svg>\n"));
    let (status, told) = daemon.send("GET", "/v1/customers/acme/forecast?steps=169", "", b"");
    assert_eq!(status, 400, "{told}");
    assert!(told.contains("between 1 and 168"), "{told}");
}

#[test]
fn what_if_of_price_and_service_says_where_its_answer_comes_from() {
    let (folder, daemon, url) = acme();
    let asked = |more: &[&str]| {
        let question = ["what-if", "--customer", "acme", "--url", &url];
        twinscale(&folder, &[&question[..], more].concat())
    };
    let answer = succeeds(&asked(&["--price", "+10%", "--json"]));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let steps = answer["series"][0]["quantiles_then"]
        .as_array()
        .expect("steps");
    let median = |side: &str, step: usize| {
        let steps = &answer["series"][0][side];
        steps[step][3].as_f64().expect("a median")
    };
    let last = steps.len() - 1;
    assert!(
        median("quantiles_then", last) < median("quantiles", last),
        "{answer}"
    );
    let reaction = &answer["reactions"][0];
    assert_eq!(reaction["answers_to"], "price");
    // A customer who never changed his price cannot have taught it.
    assert_eq!(reaction["is_learned"], false);
    let end = |name: &str| reaction[name].as_f64().expect("a factor");
    assert!(end("lower") <= end("factor") && end("factor") <= end("upper") && end("upper") <= 1.0);
    let changes = answer["changes"].to_string();
    assert!(
        changes.contains("price +10 %") && changes.contains("shared model"),
        "{changes}"
    );

    // What was sent of latency is what milliseconds are compared with; before, nothing is.
    let none = asked(&["--latency", "800ms"]);
    let told = String::from_utf8_lossy(&none.stderr);
    assert_eq!(none.status.code(), Some(3), "{told}");
    assert!(
        told.contains("no objective") && told.contains("p99_target_us"),
        "{told}"
    );
    let text = succeeds(&asked(&["--latency", "x3", "--throttle", "20%"]));
    assert!(
        text.contains("latency x 3") && text.contains("20 % of requests throttled"),
        "{text}"
    );
    let body = br#"{"drivers": [{"what": "throttled", "value": 7}]}"#;
    let (status, told) = daemon.send("POST", "/v1/customers/acme/what-if", "", body);
    assert_eq!(status, 400, "{told}");
}

#[test]
fn calendars_are_announced_and_samples_cleaned() {
    let (folder, daemon, url) = acme();
    let day = jiff::Timestamp::from_second(i64::try_from(now() + 86_400).expect("small"))
        .expect("a time");
    let day = day.strftime("%Y%m%dT%H%M%SZ");
    let calendar = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:{day}\r\nDTSTART:{day}\r\nDURATION:PT4H\r\n\
         SUMMARY:Spring sale\r\nCATEGORIES:campaign\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    std::fs::write(folder.path().join("sales.ics"), calendar).expect("written");
    let dry = twinscale(
        &folder,
        &[
            "send",
            "calendar",
            "sales.ics",
            "--customer",
            "acme",
            "--dry-run",
        ],
    );
    let line = succeeds(&dry);
    assert!(
        line.contains("\"campaign\"") && line.contains("Spring sale"),
        "{line}"
    );
    succeeds(&twinscale(
        &folder,
        &[
            "send",
            "calendar",
            "sales.ics",
            "--customer",
            "acme",
            "--url",
            &url,
        ],
    ));

    let at = now() / HOUR_S * HOUR_S - HOUR_S;
    let csv = format!(
        "vm_type,metric,timestamp,value\nweb,requests,{at},7\nweb,requests,{},-1\n",
        at - HOUR_S
    );
    std::fs::write(folder.path().join("samples.csv"), csv).expect("written");
    let output = twinscale(
        &folder,
        &[
            "send",
            "samples",
            "samples.csv",
            "--customer",
            "acme",
            "--url",
            &url,
        ],
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("-1") && told.contains("1 samples were left out"),
        "{told}"
    );
    let stored = daemon.get(&format!(
        "/v1/customers/acme/observations?vm_type=web&metric=requests&from={at}"
    ));
    assert_eq!(stored["samples"][0][1], 7.0);
}
