//! What a node's folder may look like when it is opened again: sound, damaged, cut off, or too new.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::runtime::Builder;
use twinscale::assembly::{ForecastWeights, Node, NodeOptions, WatchLimits, open_host};
use twinscale::error::render;
use twinscale::observe::Instruments;
use twinscale::workload::ReplayCustomer;
use twinscale_chaos::short_samples;
use twinscale_protocol::twin::{ConfigureRequest, IngestRequest, SAMPLES_PER_REQUEST_MAX};
use twinscale_protocol::{DomainTime, Sample};
use twinscale_provisioner::SimCloudConfig;
use twinscale_twin::limits::NEWEST_TIME;
use twinscale_twin::observations::Resolution;
use twinscale_twin::{TwinState, Twins};

/// Ingests the histories of two customers into a node in a folder, and stops it.
fn fill(folder: &Path) -> Vec<ReplayCustomer> {
    let customers = short_samples(2, 0).expect("the samples load");
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime");
    let options = NodeOptions {
        directory: folder.to_owned(),
        seed: 1,
        optimizer_threads: std::num::NonZeroUsize::MIN,
        weights: ForecastWeights::load(None).expect("the weights load"),
        cloud: SimCloudConfig::with_seed(1),
        watch: WatchLimits::default(),
        instruments: Instruments::default(),
    };
    runtime.block_on(async {
        let (node, _report) = Node::start(options).await.expect("the node starts");
        for one in &customers {
            ingest(node.twins(), one).await;
        }
        node.stop().await;
    });
    customers
}

/// The samples that are within a customer's retention.
fn kept(one: &ReplayCustomer) -> impl Iterator<Item = &Sample> {
    let oldest = one.first_step_at.minus(one.policy.retention.raw);
    one.history.iter().filter(move |sample| sample.at >= oldest)
}

async fn ingest(host: &dyn Twins, one: &ReplayCustomer) {
    let configure = ConfigureRequest {
        customer: one.customer.clone(),
        policy: one.policy.clone(),
        stack: one.stack.clone(),
        interval: one.interval,
        horizon_steps: one.horizon_steps,
    };
    host.configure(configure).await.expect("it is configured");
    let samples: Vec<Sample> = kept(one).cloned().collect();
    for chunk in samples.chunks(SAMPLES_PER_REQUEST_MAX) {
        let request = IngestRequest {
            customer: one.customer.clone(),
            now: one.first_step_at,
            samples: chunk.to_vec(),
        };
        let reply = host.ingest(request).await.expect("it is acknowledged");
        assert_eq!(reply.stored as usize, chunk.len());
    }
}

/// Every acknowledged sample is there once, with its value.
#[track_caller]
fn all_there(host: &dyn Twins, customers: &[ReplayCustomer]) {
    for one in customers {
        let count = kept(one).count();
        assert!(count > 500, "{count}");
        let counters = host.read(&one.customer, TwinState::counters);
        assert_eq!(counters.expect("the twin is there").samples, count as u64);
        for sample in kept(one) {
            let slots = host.read(&one.customer, |twin| {
                let next = DomainTime(sample.at.0 + 1).min(NEWEST_TIME);
                twin.observations(&sample.series, Resolution::Raw, sample.at, next)
            });
            let slots = slots.expect("the twin is there");
            assert_eq!(slots.len(), 1, "{} at {}", sample.series, sample.at);
            assert_eq!(
                (slots[0].sum, slots[0].count),
                (i128::from(sample.value.0), 1)
            );
        }
    }
}

/// It must not open, and say all the words.
#[track_caller]
fn refuses(folder: &Path, words: &[&str]) {
    let error = open_host(folder).expect_err("it must not open");
    let (told, code) = render(&error);
    assert_eq!(code, 3, "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
}

/// All files below a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn segment(folder: &Path) -> PathBuf {
    let segments = files(&folder.join("log"));
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    segments.into_iter().find(is_segment).expect("a segment")
}

#[test]
fn a_node_that_is_opened_again_has_every_sample() {
    let folder = TempDir::new().expect("a folder");
    let customers = fill(folder.path());
    let (host, report) = open_host(folder.path()).expect("it opens");
    assert_eq!((report.twins, report.replayed), (2, 0));
    all_there(&host, &customers);
}

#[test]
fn a_store_that_was_cut_off_or_removed_is_made_again() {
    let folder = TempDir::new().expect("a folder");
    let customers = fill(folder.path());
    let store = folder.path().join("store");
    for path in files(&store) {
        let bytes = fs::read(&path).expect("it is there");
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("it can be cut");
    }
    let (host, report) = open_host(folder.path()).expect("it opens");
    assert!(report.replayed > 0);
    all_there(&host, &customers);
    drop(host);
    fs::remove_dir_all(&store).expect("it can be removed");
    let (host, report) = open_host(folder.path()).expect("it opens");
    assert!(report.replayed > 0);
    all_there(&host, &customers);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let customers = fill(folder.path());
    let marker = folder.path().join("store").join("FORMAT");
    let text = fs::read_to_string(&marker).expect("it is there");
    assert!(text.contains("format 1\n"), "{text}");
    let newer = text.replace("format 1\n", "format 2\n");
    fs::write(&marker, &newer).expect("it can be written");
    let before: Vec<Vec<u8>> = contents(folder.path());
    refuses(folder.path(), &["format version 2", "up to 1", "newer"]);
    assert!(before == contents(folder.path()), "something was changed");
    fs::write(&marker, text).expect("it can be written");
    let (host, _report) = open_host(folder.path()).expect("it opens");
    all_there(&host, &customers);
}

fn contents(folder: &Path) -> Vec<Vec<u8>> {
    let read = |path: PathBuf| fs::read(path).expect("it is there");
    files(folder).into_iter().map(read).collect()
}

#[test]
fn a_log_that_was_cut_off_or_altered_is_refused_and_can_be_restored() {
    let folder = TempDir::new().expect("a folder");
    let customers = fill(folder.path());
    let segment = segment(folder.path());
    let good = fs::read(&segment).expect("it is there");
    let half = good.len() / 2;
    fs::write(&segment, &good[..half]).expect("it can be cut");
    refuses(folder.path(), &["log", "restore"]);
    let mut altered = good.clone();
    altered[half] ^= 1;
    fs::write(&segment, &altered).expect("it can be altered");
    let name = segment.file_name().and_then(|name| name.to_str());
    let name = name.expect("a name");
    refuses(folder.path(), &[name, "is corrupt at byte", "restore"]);
    fs::write(&segment, &good).expect("it can be restored");
    let (host, _report) = open_host(folder.path()).expect("it opens");
    all_there(&host, &customers);
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("node");
    fs::write(&file, "not a folder").expect("it can be written");
    let (told, code) = render(&open_host(&file).expect_err("it must not open"));
    assert_eq!(code, 4, "{told}");
    assert!(told.contains(&file.display().to_string()), "{told}");
}
