//! Measures lines and megabytes per second of processor time: `log_rate [LINES]` (default 1,000,000).
//!
//! Steps, each over the same lines in memory: counting line ends, the line splitter, the reader of JSON lines, the
//! reader with counts by severity and template, and the template miner on the messages alone; last the miner on
//! random words, its worst case. The fastest of three runs counts, since all else on a machine only slows it down.
#![expect(clippy::print_stdout, reason = "a command line example")]

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use twinscale_inputs::InputSecret;
use twinscale_inputs::lines::LineSplitter;
use twinscale_inputs::logs::{
    LogFormat, LogRates, LogRatesOptions, LogReader, LogReaderOptions, LogRecord,
};
use twinscale_inputs::templates::{TemplateMiner, TemplateText};
use twinscale_protocol::{DomainTime, Seconds, VmTypeId};

/// 2023-11-14T22:13:20Z.
const START_S: u64 = 1_700_000_000;

const REPEATS: usize = 3;

/// Bytes handed on at once.
const PIECE_BYTES: usize = 64 * 1_024;

const NAMES: [&str; 8] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi",
];

/// Processor time so far, in seconds.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The fastest of some runs, in seconds.
fn fastest(mut run: impl FnMut()) -> f64 {
    let times = (0..REPEATS).map(|_| {
        let begun = processor_seconds();
        run();
        processor_seconds() - begun
    });
    times.fold(f64::INFINITY, f64::min)
}

/// A message of one of eleven forms of a web shop, some seen often and some seldom.
fn message(rng: &mut ChaCha8Rng) -> String {
    let number: u32 = rng.random_range(0..1_000_000);
    let name = NAMES[rng.random_range(0..NAMES.len())];
    match rng.random_range(0..20) {
        0..=5 => format!("GET /api/items/{number}?page=2 200 in {} ms", number % 900),
        6..=8 => format!("POST /api/cart/{number} 201 in {} ms", number % 900),
        9..=10 => format!("cache miss for key item:{number}, loading from database"),
        11..=12 => format!(
            "query took {} ms: \"select * from items where id = {number}\"",
            number % 90
        ),
        13 => format!(
            "user {name} logged in from 10.{}.{}.7",
            number % 256,
            number % 99
        ),
        14 => format!(
            "payment {number:08x} accepted, amount={}.{} currency=EUR",
            number % 500,
            number % 100
        ),
        15 => format!(
            "worker-{} finished job 123e4567-e89b-12d3-a456-{number:012x}",
            number % 16
        ),
        16 => format!("mail sent to {name}@example.org"),
        17 => format!(
            "connection to 10.0.0.{}:5432 refused, retry {} of 5",
            number % 256,
            number % 5
        ),
        18 => format!("garbage collection freed {number} bytes"),
        _ => format!("Failed to render template checkout: missing field total (order {number})"),
    }
}

fn json_lines(messages: &[String]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for (index, message) in messages.iter().enumerate() {
        let level = if index % 20 == 0 { "error" } else { "info" };
        let at_ms = START_S * 1_000 + index as u64 * 10;
        let message = serde_json::to_string(message)?;
        writeln!(
            text,
            "{{\"time\":{at_ms},\"level\":\"{level}\",\"service\":\"shop\",\"pid\":7,\"message\":{message}}}"
        )?;
    }
    Ok(text)
}

fn read(text: &str, take: &mut impl FnMut(LogRecord<'_>)) -> Result<u64, Box<dyn Error>> {
    let mut reader = LogReader::new(&LogReaderOptions {
        format: LogFormat::JsonLines,
        zone: None,
    })?;
    let now = DomainTime(i64::try_from(START_S)?);
    for piece in text.as_bytes().chunks(PIECE_BYTES) {
        reader.feed(piece, now, take);
    }
    reader.finish(now, take);
    Ok(reader.record_count())
}

fn report(step: &str, lines: usize, bytes: usize, seconds: f64) {
    let (lines, megabytes) = (lines as f64 / seconds, bytes as f64 / seconds / 1e6);
    println!("{step:<44} {lines:>12.0} lines/s {megabytes:>8.1} MB/s");
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let messages: Vec<String> = (0..count).map(|_| message(&mut rng)).collect();
    let text = json_lines(&messages)?;
    let secret = InputSecret::take(&mut [1; 32]);
    println!(
        "{count} lines of JSON, {} bytes each on average",
        text.len() / count.max(1)
    );

    let ends = fastest(|| {
        black_box(text.bytes().filter(|byte| *byte == b'\n').count());
    });
    report("count of line ends", count, text.len(), ends);
    let split = fastest(|| {
        let (mut splitter, mut lines) = (LineSplitter::default(), 0_u64);
        for piece in text.as_bytes().chunks(PIECE_BYTES) {
            splitter.feed(piece, &mut |_| lines += 1);
        }
        assert_eq!(black_box(lines), count as u64);
    });
    report("line splitter", count, text.len(), split);
    let mut outcome = Ok(0);
    let reading = fastest(|| outcome = read(&text, &mut |record| drop(black_box(record))));
    assert_eq!(outcome?, count as u64);
    report("JSON reader", count, text.len(), reading);
    measure_rates(&text, count, &secret)?;

    let bytes: usize = messages.iter().map(String::len).sum();
    let mut templates = 0;
    let mining = fastest(|| {
        let mut miner = TemplateMiner::new(&secret, TemplateText::Kept);
        for message in &messages {
            black_box(miner.observe(message));
        }
        templates = miner.established_count();
    });
    report(
        &format!("template miner alone ({templates} templates)"),
        count,
        bytes,
        mining,
    );
    measure_random(count, &secret);
    Ok(())
}

fn measure_rates(text: &str, count: usize, secret: &InputSecret) -> Result<(), Box<dyn Error>> {
    let options = LogRatesOptions {
        vm_type: VmTypeId::new("web")?,
        interval: Seconds(300),
        lateness: Seconds(300),
        top_templates: 16,
        text: TemplateText::Kept,
    };
    let mut outcome = Ok(0);
    let mut samples = 0;
    let now = DomainTime(i64::try_from(START_S)? + i64::try_from(count)?);
    let mut rates = Vec::new();
    for _ in 0..REPEATS {
        rates.push(LogRates::new(options.clone(), secret)?);
    }
    let seconds = fastest(|| {
        let Some(mut rates) = rates.pop() else { return };
        outcome = read(text, &mut |record| {
            assert!(rates.observe(&record, now).is_ok());
        });
        samples = rates.take_all().len();
    });
    assert_eq!(outcome?, count as u64);
    report(
        &format!("JSON reader, counts, templates ({samples} samples)"),
        count,
        text.len(),
        seconds,
    );
    Ok(())
}

fn measure_random(count: usize, secret: &InputSecret) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut word = || -> String {
        let letters = rng.random_range(2..9);
        (0..letters)
            .map(|_| char::from(rng.random_range(b'a'..=b'z')))
            .collect()
    };
    let messages: Vec<String> = (0..count)
        .map(|_| (0..8).map(|_| word()).collect::<Vec<_>>().join(" "))
        .collect();
    let bytes: usize = messages.iter().map(String::len).sum();
    let seconds = fastest(|| {
        let mut miner = TemplateMiner::new(secret, TemplateText::Kept);
        for message in &messages {
            black_box(miner.observe(message));
        }
    });
    report("template miner, random words", count, bytes, seconds);
}
