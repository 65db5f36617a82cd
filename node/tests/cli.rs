//! The binary from outside: what it prints, and with which code it ends.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const DAY: &[&str] = &[
    "--from",
    "2024-01-06T00:00:00Z",
    "--until",
    "2024-01-06T12:00:00Z",
];

/// 2024-01-01T00:00:00Z.
const BEGIN: u64 = 1_704_067_200;

/// Data rows of the good trace: a week of hours.
const ROWS: u64 = 7 * 24;

/// The 50th data row, which tests break: line 51 of the file.
const BROKEN_AT: u64 = 49;

fn twinscale(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("the built binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It must end with the code, say all the words, print no result and show no panic.
#[track_caller]
fn refuses(output: &Output, code: i32, words: &[&str]) {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert_eq!(stdout(output), "");
    assert!(!told.contains("panicked"), "{told}");
}

fn row(hour: u64) -> String {
    let value = 10 + (hour % 24) / 3;
    format!("acme,web,vm_count,{},{value}", BEGIN + hour * 3_600)
}

/// Writes a week of hours with one row replaced.
fn trace(folder: &TempDir, broken: Option<&str>) {
    let mut text = "customer,vm_type,metric,timestamp,value\n".to_owned();
    for hour in 0..ROWS {
        let broken = broken.filter(|_| hour == BROKEN_AT);
        let row = broken.map_or_else(|| row(hour), str::to_owned);
        writeln!(text, "{row}").expect("text grows");
    }
    write(folder, "trace.csv", &text);
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).expect("the folder takes a file");
}

fn backtest(folder: &TempDir, more: &[&str]) -> Output {
    let mut arguments = vec!["--quiet", "backtest", "trace.csv", "--out", "out"];
    arguments.extend(DAY);
    arguments.extend(more);
    twinscale(folder, &arguments)
}

fn with_row(broken: &str) -> Output {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, Some(broken));
    backtest(&folder, &[])
}

fn with_policy(policy: &str) -> Output {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, None);
    write(&folder, "policy.toml", policy);
    backtest(&folder, &["--policy", "policy.toml"])
}

fn problem(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../actors/optimizer/tests/data");
    data.join(name).display().to_string()
}

#[test]
fn help_names_commands_and_exit_codes() {
    let folder = TempDir::new().expect("a folder");
    let output = twinscale(&folder, &["--help"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    for word in [
        "demo",
        "backtest",
        "plan",
        "train",
        "bench",
        "ca",
        "sim-cloud",
        "completions",
        "Exit codes:",
    ] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    let bare = twinscale(&folder, &[]);
    assert_eq!(bare.status.code(), Some(2));
    assert!(stderr(&bare).contains("Usage:"));
}

#[test]
fn completions_are_a_script_that_knows_the_commands() {
    let folder = TempDir::new().expect("a folder");
    let output = twinscale(&folder, &["completions", "bash"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.contains("complete -F") && text.contains("backtest"));
}

#[test]
fn backtest_writes_all_its_files_and_the_same_report_again() {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, None);
    let first = backtest(&folder, &["--json", "--threads", "1"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(stderr(&first), "");
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).expect("JSON");
    assert!(stdout(&first).contains("acme"), "{report}");
    let read = |name: &str| {
        fs::read_to_string(folder.path().join("out").join(name)).expect("it was written")
    };
    assert_eq!(read("report.json"), stdout(&first));
    assert!(read("report.html").contains("acme"));
    let decisions = read("decisions.csv");
    assert!(decisions.lines().count() > 12, "{decisions}");
    assert!(read("forecasts.csv").lines().count() > 12 * 24);
    let second = backtest(&folder, &["--json", "--threads", "2"]);
    assert_eq!(stdout(&first), stdout(&second));
    assert_eq!(decisions, read("decisions.csv"));
    let table = backtest(&folder, &[]);
    assert!(stdout(&table).contains("perfect"), "{}", stdout(&table));
}

#[test]
fn a_broken_row_is_named_with_its_line() {
    let output = with_row("acme,web,vm_count,1704243600");
    refuses(&output, 3, &["trace.csv, line 51", "4 fields", "remove"]);
}

#[test]
fn an_unknown_metric_is_named_with_those_that_are_known() {
    let output = with_row("acme,web,vm_cuont,1704243600,3");
    let words = [
        "trace.csv, line 51, column `metric`",
        "`vm_cuont`",
        "rename it",
        "vm_count",
    ];
    refuses(&output, 3, &words);
}

#[test]
fn values_below_zero_or_not_finite_are_named() {
    for value in ["-3", "NaN", "inf", "1e400", "-0.5"] {
        let output = with_row(&format!("acme,web,vm_count,1704243600,{value}"));
        let named = format!("`{value}`");
        let place = "trace.csv, line 51, column `value`";
        refuses(&output, 3, &[place, &named, "leave the row out"]);
    }
}

#[test]
fn a_clock_that_goes_back_is_named() {
    let output = with_row("acme,web,vm_count,1703000000,3");
    let words = [
        "trace.csv, line 51, column `timestamp`",
        "`1703000000`",
        "acme/web/vm_count",
        "sort the file",
    ];
    refuses(&output, 3, &words);
    refuses(
        &with_row("acme,web,vm_count,yesterday,3"),
        3,
        &["line 51, column `timestamp`", "`yesterday`"],
    );
}

#[test]
fn a_vm_type_that_the_stack_does_not_name_is_told() {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, Some("acme,wbe,vm_count,1704243600,3"));
    let stack = "[customer.acme.tier.web]\ndemand = \"web/vm_count\"\n\
                 [[customer.acme.tier.web.vm_type]]\nname = \"web\"\nprice_per_hour_usd = 0.1\n";
    write(&folder, "stack.toml", stack);
    let output = backtest(&folder, &["--stack", "stack.toml"]);
    let words = [
        "trace.csv, line 51",
        "`wbe`",
        "customer `acme`",
        "add a tier",
    ];
    refuses(&output, 3, &words);
}

#[test]
fn a_policy_that_nothing_satisfies_is_told_with_what_to_change() {
    let dear = "[default]\nbudget_per_day_usd = 0.01\n";
    refuses(
        &with_policy(dear),
        3,
        &[
            "customer.acme.budget_per_day_usd = 0.01",
            "raise the budget",
        ],
    );
    let crossed = "[default.limits]\nfloor = 10\nceiling = 5\n";
    refuses(
        &with_policy(crossed),
        3,
        &[
            "policy.toml",
            "default.limits.floor = 10",
            "lower the floor",
        ],
    );
}

#[test]
fn an_unknown_policy_key_is_told() {
    refuses(
        &with_policy("[default.slaa]\nlevel_min = 0.9\n"),
        3,
        &["policy.toml", "slaa"],
    );
}

#[test]
fn a_metric_without_a_capacity_names_the_key() {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, None);
    let path = folder.path().join("trace.csv");
    let text = fs::read_to_string(&path).expect("it is there");
    write(&folder, "trace.csv", &text.replace("vm_count", "requests"));
    refuses(
        &backtest(&folder, &[]),
        3,
        &[
            "customer.acme.metrics.requests.capacity_per_vm",
            "(absent)",
            "write in the policy file",
        ],
    );
}

#[test]
fn weights_that_are_damaged_or_have_another_card_are_refused() {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, None);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let good = fs::read(models.join("shipped.safetensors")).expect("weights ship");
    let (weights, card) = (
        folder.path().join("w.safetensors"),
        folder.path().join("w.json"),
    );
    fs::copy(models.join("shipped.json"), &card).expect("a card ships");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let damaged = [good[..good.len() - 100].to_vec(), flipped, Vec::new()];
    for bytes in damaged {
        fs::write(&weights, bytes).expect("the folder takes a file");
        let output = backtest(&folder, &["--weights", "w.safetensors"]);
        refuses(&output, 3, &["w.safetensors cannot be used"]);
    }
    fs::write(&weights, good).expect("the folder takes a file");
    write(&folder, "w.json", "{}");
    let output = backtest(&folder, &["--weights", "w.safetensors"]);
    refuses(&output, 3, &["w.safetensors cannot be used", "card"]);
}

#[test]
fn networks_that_a_file_has_no_room_for_are_refused_before_the_data_is_read() {
    let folder = TempDir::new().expect("a folder");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let shipped = models.join("shipped.safetensors").display().to_string();
    let networks = ["young"; 8].join(",");
    let arguments = [
        "train",
        "--data",
        "none",
        "--out",
        "w.safetensors",
        "--onto",
        &shipped,
        "--networks",
        &networks,
    ];
    let words = ["shipped.safetensors", "more than the 8", "--networks"];
    refuses(&twinscale(&folder, &arguments), 3, &words);
}

#[test]
fn files_that_are_missing_are_a_matter_of_the_environment() {
    let folder = TempDir::new().expect("a folder");
    let quiet = |arguments: &[&str]| twinscale(&folder, arguments);
    refuses(
        &quiet(&["backtest", "none.csv"]),
        4,
        &["none.csv", "check the path"],
    );
    refuses(
        &quiet(&["plan", "--problem", "none.json"]),
        4,
        &["none.json", "check the path"],
    );
    trace(&folder, None);
    for option in ["--policy", "--stack", "--events", "--weights"] {
        refuses(&backtest(&folder, &[option, "none.x"]), 4, &["none."]);
    }
}

#[test]
fn a_window_without_history_is_refused_and_a_wrong_time_is_usage() {
    let folder = TempDir::new().expect("a folder");
    trace(&folder, None);
    let early = [
        "backtest",
        "trace.csv",
        "--from",
        "2024-01-01T00:00:00Z",
        "--until",
        "2024-01-03T00:00:00Z",
    ];
    refuses(
        &twinscale(&folder, &early),
        3,
        &["customer `acme`", "leave at least two days"],
    );
    let wrong = ["backtest", "trace.csv", "--from", "soon", "--until", "5"];
    refuses(&twinscale(&folder, &wrong), 2, &["`soon`", "epoch seconds"]);
}

#[test]
fn plan_gives_the_same_plan_again_and_refuses_the_impossible() {
    let folder = TempDir::new().expect("a folder");
    let plan = |threads: &str| {
        let problem = problem("two-tiers.json");
        let output = twinscale(
            &folder,
            &[
                "--quiet",
                "plan",
                "--problem",
                &problem,
                "--evaluations",
                "2000",
                "--threads",
                threads,
            ],
        );
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let one = plan("1");
    let json: serde_json::Value = serde_json::from_str(&one).expect("JSON");
    assert!(json.is_object());
    assert_eq!(one, plan("2"));
    let impossible = problem("no-way.json");
    refuses(
        &twinscale(
            &folder,
            &["plan", "--problem", &impossible, "--evaluations", "100"],
        ),
        5,
        &["no-way.json", "budget", "hint: raise budget"],
    );
    write(&folder, "odd.json", "{\"format\": 1}");
    refuses(
        &twinscale(&folder, &["plan", "--problem", "odd.json"]),
        3,
        &["odd.json"],
    );
}

#[test]
fn the_preflight_lists_what_it_found_and_ends_by_the_worst() {
    let folder = TempDir::new().expect("a folder");
    let sound = twinscale(&folder, &["doctor", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    let form: serde_json::Value = serde_json::from_str(&stdout(&sound)).expect("JSON");
    assert_eq!(form["form"], "twinscale-doctor/1");
    assert_eq!(form["checks"][0]["name"], "forecast");
    fs::write(folder.path().join("taken"), "a file").expect("written");
    let broken = twinscale(
        &folder,
        &["doctor", "--listen", "127.0.0.1:0", "--data-dir", "taken"],
    );
    assert_eq!(broken.status.code(), Some(4));
    assert!(stdout(&broken).contains("[FAIL] data folder"));
    assert!(stderr(&broken).contains("a node cannot run here: data folder"));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = TempDir::new().expect("a folder");
    let written = twinscale(&folder, &["man", "--dir", "man"]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    for page in [
        "twinscale.1",
        "twinscale-run.1",
        "twinscale-doctor.1",
        "twinscale-bench-micro.1",
        "twinscale-ca-issue.1",
        "twinscale-sim-cloud.1",
    ] {
        let text = fs::read_to_string(folder.path().join("man").join(page)).expect(page);
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{page}"
        );
    }
    let first = twinscale(&folder, &["man"]);
    assert!(
        stdout(&first).contains(".TH twinscale 1"),
        "{}",
        stdout(&first)
    );
}
