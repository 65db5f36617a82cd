//! Writes the seeds of each target from bytes that the product wrote: `seed_corpus DIR`.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use twinscale_fuzz::{framed, state_seeds};
use twinscale_log::fault_disk::FaultDisk;
use twinscale_log::{Command, CommandLog, FileLog, LogOptions, NoObserver, SystemMonotonicClock};
use twinscale_protocol::envelope::{self, EnvelopeKind, HEADER_BYTES};

/// The golden bytes of every stored kind.
const GOLDEN: &str = include_str!("../../actors/twin/src/stored/golden/v1.txt");

/// Parts of a state in the order of the tags that `stored_state` reads.
const PARTS: [&str; 10] = [
    "meta",
    "config",
    "series",
    "events",
    "forecast",
    "calibration",
    "plan",
    "allocation",
    "intents",
    "feedback",
];

/// Queueing cases, a few to a seed.
const CASES: [(&str, &str); 4] = [
    (
        "stations",
        r#"{"format": "queue-ref/1", "cases": [
{"id": "a", "kind": "M/M/c FCFS", "params": {"c": 4, "lam": 3.2, "mu": 1}},
{"id": "b", "kind": "M/M/c/K FCFS", "params": {"c": 1, "K": 3, "lam": 1, "mu": 1}},
{"id": "c", "kind": "M/G/1 FCFS", "params": {"lam": 0.5, "service": "erlang k=2 mean 1"}},
{"id": "d", "kind": "M/G/1-PS", "params": {"lam": 0.5, "service": "lognormal", "mean": 1, "scv": 2}}]}"#,
    ),
    (
        "networks",
        r#"{"format": "queue-ref/1", "cases": [
{"id": 1, "kind": "open Jackson tandem", "params": {"lam": 1, "mu": [2, 4]}},
{"id": 2, "kind": "Jackson", "params": {"lam": [1, 0], "mu": [4, 4], "routing": [[0, 0.5], [0.5, 0]]}},
{"id": 3, "kind": "closed, FCFS", "params": {"demands": [1, 0.5], "think": 1, "N": 5}}]}"#,
    ),
    (
        "classes",
        r#"{"format": "queue-ref/1", "cases": [
{"kind": "M/M/1 HOL", "params": {"lam": [0.2, 0.3], "mu": 1}},
{"kind": "M/M/1 preemptive resume priority", "params": {"lam": [0.2, 0.3], "mu": [1, 2]}}]}"#,
    ),
    (
        "side-by-side",
        r#"{"format": "queue-ref/1", "cases": [
{"id": "f", "kind": "fork-join", "params": {"n": 3, "lam": 0.5, "mu": 1}},
{"id": "g", "kind": "load balancer", "params": {"policy": "two choices", "servers": 4, "lam": 2, "mu": 1}},
{"id": "h", "kind": "nothing", "params": {}}]}"#,
    ),
];

/// Lines of a sample trace that make a seed.
const TRACE_LINES: usize = 12;

fn main() -> io::Result<()> {
    let root = std::env::args_os().nth(1).map(PathBuf::from);
    let root = root.ok_or_else(|| io::Error::other("usage: seed_corpus DIR"))?;
    let golden: Vec<(&str, Vec<u8>)> = GOLDEN.lines().filter_map(parse_golden).collect();
    let is_command = |bytes: &[u8]| bytes.get(6..8) == Some(&[0, 1]);
    let commands: Vec<&(&str, Vec<u8>)> = golden
        .iter()
        .filter(|(_, bytes)| is_command(bytes))
        .collect();
    let mut turn = Vec::new();
    for (name, bytes) in &commands {
        let body = &bytes[HEADER_BYTES..];
        seed(&root, "stored_entry", name, body)?;
        turn.extend(framed(body));
    }
    seed(&root, "twin_apply", "turn", &turn)?;
    let twice = [turn.clone(), turn].concat();
    seed(&root, "twin_apply", "two-turns", &twice)?;
    seed_parts(&root, &golden)?;
    seed_log(&root, &golden)?;
    for (name, bytes) in &golden {
        seed(&root, "envelope", name, bytes)?;
    }
    let bytes = envelope::seal(EnvelopeKind(1), &vec![1_u8, 2, 3]).map_err(io::Error::other)?;
    seed(&root, "envelope", "bytes", &bytes)?;
    seed_readers(&root)
}

fn seed_parts(root: &Path, golden: &[(&str, Vec<u8>)]) -> io::Result<()> {
    let mut whole = Vec::new();
    for (tag, name) in (0_u8..).zip(PARTS) {
        for (_, bytes) in golden.iter().filter(|(found, _)| *found == name) {
            let mut part = vec![tag, 1];
            part.extend_from_slice(&bytes[HEADER_BYTES..]);
            seed(root, "stored_state", name, &framed(&part))?;
            whole.extend(framed(&part));
        }
    }
    seed(root, "stored_state", "whole", &whole)
}

fn seed_log(root: &Path, golden: &[(&str, Vec<u8>)]) -> io::Result<()> {
    let disk = FaultDisk::new(1);
    let opened = FileLog::open_on(
        Arc::new(disk.clone()),
        LogOptions::default(),
        Arc::new(NoObserver),
        Arc::new(SystemMonotonicClock::start()),
    );
    let (log, _) = opened.map_err(io::Error::other)?;
    for pair in golden.chunks(2).take(3) {
        let command = |(_, payload): &(&str, Vec<u8>)| Command {
            kind: 0x0100,
            payload: payload.clone(),
        };
        let commands = pair.iter().map(command).collect();
        log.propose(commands).wait().map_err(io::Error::other)?;
    }
    drop(log);
    let whole = disk
        .file_bytes("segment-00000000000000000001.log")
        .ok_or_else(|| io::Error::other("the log has no segment"))?;
    seed(root, "log_recovery", "whole", &whole)?;
    seed(root, "log_recovery", "torn", &whole[..whole.len() - 20])?;
    let mut damaged = whole;
    let middle = damaged.len() / 3;
    damaged[middle] ^= 1;
    seed(root, "log_recovery", "damaged", &damaged)
}

fn seed_readers(root: &Path) -> io::Result<()> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    let packed = fs::read(samples.join("traces/nab_tweets.csv.gz"))?;
    let mut trace = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut trace)?;
    let trace = first_lines(&trace);
    seed(root, "trace_csv", "trace", trace.as_bytes())?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(trace.as_bytes())?;
    seed(root, "trace_csv", "packed", &encoder.finish()?)?;
    let events = fs::read_to_string(samples.join("events.csv"))?;
    seed(root, "trace_csv", "events", first_lines(&events).as_bytes())?;
    for name in ["policy", "stack"] {
        let text = fs::read(samples.join(format!("config/example-{name}.toml")))?;
        seed(root, "config_toml", name, &text)?;
    }
    for (name, text) in CASES {
        seed(root, "queueing_cases", name, text.as_bytes())?;
    }
    for name in ["web-shop", "cached-site"] {
        let text = fs::read(samples.join(format!("models/{name}.toml")))?;
        seed(root, "stack_model", name, &text)?;
    }
    let data = samples.join("../actors/forecaster/inputs/tests/data");
    for (number, name) in [
        (0, "json"),
        (1, "syslog5424"),
        (2, "syslog3164"),
        (3, "logfmt"),
    ] {
        let text = fs::read(data.join(format!("shop.{name}.log")))?;
        seed(
            root,
            "log_lines",
            name,
            &[&[number], text.as_slice()].concat(),
        )?;
    }
    let text = fs::read(data.join("shop.ics"))?;
    seed(root, "calendar_ics", "shop", &text)?;
    for (name, bytes) in state_seeds() {
        seed(root, "inputs_state", name, &bytes)?;
    }
    for name in ["compose", "kubernetes"] {
        let data = samples.join("../actors/optimizer/environment/tests/data");
        let text = fs::read(data.join(format!("shop.{name}.yaml")))?;
        seed(root, "stack_model", name, &text)?;
    }
    Ok(())
}

fn first_lines(text: &str) -> String {
    text.split_inclusive('\n').take(TRACE_LINES).collect()
}

fn parse_golden(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, digits) = line.split_once(' ')?;
    let bytes = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    Some((name, bytes.collect::<Option<_>>()?))
}

fn seed(root: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = root.join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), bytes)
}
