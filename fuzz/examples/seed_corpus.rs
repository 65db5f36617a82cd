//! Writes the seeds of each target from bytes that the product wrote: `seed_corpus DIR`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use twinscale_forecast_model::reaction::{SHIPPED_REACTION, SHIPPED_REACTION_CARD};
use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS};
use twinscale_fuzz::{framed, state_seeds};
use twinscale_log::fault_disk::FaultDisk;
use twinscale_log::{Command, CommandLog, FileLog, LogOptions, NoObserver, SystemMonotonicClock};
use twinscale_protocol::envelope::{self, EnvelopeKind, HEADER_BYTES};
use twinscale_weights::{CHUNK_REPLY, CHUNK_REQUEST, ChunkCall, ChunkReply, Part};

/// The golden bytes of every stored kind.
const GOLDEN: &str = include_str!("../../actors/twin/src/stored/golden/v1.txt");

/// The golden bytes of the register of weights.
const GOLDEN_WEIGHTS: &str = include_str!("../../node/meta/src/stored/golden/v2.txt");

/// Commands of the register in an order in which each takes effect.
const WEIGHTS_LIFE: [&str; 9] = [
    "register",
    "register_other",
    "trained_submitted",
    "shadow",
    "promote_judged",
    "roll_back_judged",
    "promote",
    "roll_back",
    "drop",
];

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
    seed_weights(&root)?;
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

fn seed_weights(root: &Path) -> io::Result<()> {
    let golden: Vec<(&str, Vec<u8>)> = GOLDEN_WEIGHTS.lines().filter_map(parse_golden).collect();
    let body = |name: &str| {
        let found = golden.iter().find(|(found, _)| *found == name);
        let bytes = found.and_then(|(_, bytes)| bytes.get(HEADER_BYTES..));
        bytes.ok_or_else(|| io::Error::other(format!("no golden bytes `{name}`")))
    };
    let mut life = Vec::new();
    for name in WEIGHTS_LIFE {
        seed(root, "weights_register", name, &framed(body(name)?))?;
        life.extend(framed(body(name)?));
    }
    seed(root, "weights_register", "life", &life)?;
    seed(
        root,
        "weights_register",
        "snapshot",
        &framed(body("snapshot")?),
    )?;
    let call = ChunkCall {
        digest: [7; 32],
        part: Part::Card,
        offset: 300,
    };
    let reply = ChunkReply {
        bytes: SHIPPED_REACTION_CARD[..64].to_vec(),
    };
    let sealed = [
        ("call", envelope::seal(CHUNK_REQUEST, &call)),
        ("reply", envelope::seal(CHUNK_REPLY, &reply)),
    ];
    for (name, bytes) in sealed {
        let bytes = bytes.map_err(io::Error::other)?;
        seed(root, "weights_chunks", name, &bytes[HEADER_BYTES..])?;
    }
    let card = &SHIPPED_REACTION_CARD[..300];
    let mut file = framed(card);
    for (offset, chunk) in (0_u16..).step_by(100).zip(card.chunks(100)) {
        file.extend(framed(&[&offset.to_le_bytes(), chunk].concat()));
    }
    seed(root, "weights_chunks", "file", &file)?;
    seed(root, "weights_file", "reaction_card", SHIPPED_REACTION_CARD)?;
    seed(root, "weights_card", "weights", &short_card()?)?;
    seed(root, "weights_file", "reaction", SHIPPED_REACTION)?;
    for (name, bytes) in headers()? {
        seed(root, "weights_file", &name, &bytes)?;
    }
    Ok(())
}

/// The shipped card with a few of its series: whole, it is longer than an input may be.
fn short_card() -> io::Result<Vec<u8>> {
    let mut card: serde_json::Value = serde_json::from_slice(SHIPPED_CARD)?;
    if let Some(datasets) = card["datasets"].as_object_mut() {
        for dataset in datasets.values_mut() {
            if let Some(cuts) = dataset["cut_s"].as_object_mut() {
                let kept: Vec<String> = cuts.keys().take(1).cloned().collect();
                cuts.retain(|name, _| kept.contains(name));
            }
        }
        let kept: Vec<String> = datasets.keys().take(3).cloned().collect();
        datasets.retain(|name, _| kept.contains(name));
    }
    Ok(serde_json::to_vec(&card)?)
}

/// The headers of the shipped file's networks, each as the header of a file of its own that begins at 0.
fn headers() -> io::Result<Vec<(String, Vec<u8>)>> {
    let (length, rest) = SHIPPED_WEIGHTS
        .split_first_chunk::<8>()
        .ok_or_else(|| io::Error::other("the shipped weights are cut off"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(io::Error::other)?;
    let header: serde_json::Value = serde_json::from_slice(&rest[..length])?;
    let tensors = header.as_object().into_iter().flatten();
    let mut files: BTreeMap<String, serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
    for (name, tensor) in tensors {
        let mut parts = name.splitn(3, '.').skip(1);
        let (Some(kind), Some(own)) = (parts.next(), parts.next()) else {
            continue;
        };
        let file = files.entry(kind.to_owned()).or_default();
        if file.contains_key(&format!("0.{kind}.{own}")) {
            // Two networks of a kind have the same tensors.
            continue;
        }
        let mut tensor = tensor.clone();
        let begin = file
            .values()
            .filter_map(|one| one["data_offsets"][1].as_u64());
        let begin = begin.max().unwrap_or(0);
        let ends = &tensor["data_offsets"];
        let bytes = ends[1].as_u64().zip(ends[0].as_u64());
        let bytes = bytes.map_or(0, |(end, begin)| end - begin);
        tensor["data_offsets"] = serde_json::json!([begin, begin + bytes]);
        file.insert(format!("0.{kind}.{own}"), tensor);
    }
    let files = files.into_iter();
    files
        .map(|(kind, file)| Ok((kind, serde_json::to_vec(&file)?)))
        .collect()
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
