//! `twinscale sim-cloud` from outside: a real process that nodes share, is killed, and is the same again.

#![expect(
    clippy::disallowed_methods,
    reason = "outside of the process only the system's own clock says how long it took"
)]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twinscale::sim_cloud::RemoteCloud;
use twinscale::sim_cloud::ledger::{CallView, EffectView, LedgerReply};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::driver::{CallContext, DriverError, ProviderDriver as _, VmSpec};

/// For whatever is waited for; a busy machine takes seconds.
const DEADLINE: Duration = Duration::from_mins(2);

/// A running cloud; it is killed when this is dropped.
struct Cloud {
    child: Child,
    started: serde_json::Value,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // A test that failed must not leave it behind; one that ended it finds it gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinscale"));
    command.arg("sim-cloud").arg("--data-dir").arg(folder);
    command
        .args(["--listen", "127.0.0.1:0", "--json"])
        .args(more);
    command
}

impl Cloud {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = command(folder, more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the built binary starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it prints");
        let started = serde_json::from_str(&line).expect("one line of JSON once it serves");
        Self { child, started }
    }

    fn address(&self) -> &str {
        self.started["address"].as_str().expect("an address")
    }

    fn driver(&self) -> RemoteCloud {
        RemoteCloud::connect(self.address()).expect("an address")
    }

    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn acme() -> CustomerId {
    CustomerId::new("acme").expect("an id")
}

fn context(generation: u64, now: i64) -> CallContext {
    CallContext {
        customer: acme(),
        generation: Generation(generation),
        now: DomainTime(now),
    }
}

fn spec(vm: u64) -> VmSpec {
    VmSpec {
        vm: VmId(vm),
        tier: TierName::new("web").expect("a tier"),
        vm_type: VmTypeId::new("typeA").expect("a type"),
        price_per_hour: MicroDollars(96_000),
        minimum_bill: Seconds(60),
    }
}

/// The calls that change something; listings take places among the calls and are not kept over a restart.
fn changes(ledger: &LedgerReply) -> Vec<CallView> {
    let changes = ledger.calls.iter().filter(|call| call.generation.is_some());
    let unplaced = changes.map(|call| CallView {
        sequence: 0,
        ..call.clone()
    });
    unplaced.collect()
}

#[tokio::test]
async fn a_cloud_that_was_killed_is_the_same_again_and_still_refuses_who_led_before() {
    let folder = TempDir::new().expect("a folder");
    let mut cloud = Cloud::start(folder.path(), &["--seed", "11"]);
    let driver = cloud.driver();
    for vm in 1..=8 {
        let launched = driver.launch(&context(1, 1_000), &spec(vm)).await;
        assert_eq!(launched, Ok(()), "VM {vm}");
    }
    let ended = driver.terminate(&context(3, 1_600), VmId(2)).await;
    assert_eq!(ended, Ok(()));
    let stale = Err(DriverError::StaleGeneration {
        sent: Generation(1),
        highest: Generation(3),
    });
    assert_eq!(driver.launch(&context(1, 1_700), &spec(9)).await, stale);
    let at = Some(DomainTime(9_000));
    let before = driver.ledger(&acme(), at).await.expect("a ledger");

    // A call that is under way when the process dies has happened or not, and its caller knows neither.
    let (late, killed) = tokio::join!(
        async { driver.launch(&context(3, 1_800), &spec(10)).await },
        async { cloud.child.kill() }
    );
    killed.expect("it runs");
    cloud.child.wait().expect("it is a child");
    assert!(
        matches!(late, Ok(()) | Err(DriverError::Unknown { .. })),
        "{late:?}"
    );
    let away = driver.launch(&context(3, 1_800), &spec(10)).await;
    assert!(matches!(away, Err(DriverError::Unknown { .. })), "{away:?}");

    let cloud = Cloud::start(folder.path(), &[]);
    assert_eq!(cloud.started["seed"], 11);
    assert!(cloud.started["changes"].as_u64().expect("a count") >= 10);
    let driver = cloud.driver();
    let again = driver.ledger(&acme(), at).await.expect("a ledger");
    let (changes_before, changes_again) = (changes(&before), changes(&again));
    assert_eq!(changes_again[..changes_before.len()], changes_before);
    assert_eq!(again.vms[..before.vms.len()], before.vms);
    let refused = changes_again
        .iter()
        .find(|call| call.effect == EffectView::RefusedStale);
    assert_eq!(refused.expect("it is kept").generation, Some(Generation(1)));
    assert_eq!(driver.launch(&context(1, 1_900), &spec(9)).await, stale);

    // The same call under the same identity finds out, and starts nothing twice.
    for _ in 0..2 {
        let launched = driver.launch(&context(3, 1_800), &spec(10)).await;
        assert_eq!(launched, Ok(()));
    }
    let listing = driver
        .list(&acme(), DomainTime(2_000))
        .await
        .expect("listed");
    let vms: Vec<u64> = listing.allocation.vms.iter().map(|vm| vm.vm.0).collect();
    let failed: Vec<u64> = listing
        .ended
        .iter()
        .filter(|vm| vm.start_failed)
        .map(|vm| vm.vm.0)
        .collect();
    assert!(failed.is_empty(), "no start fails: {failed:?}");
    assert_eq!(vms, [1, 3, 4, 5, 6, 7, 8, 10]);
}

#[tokio::test]
async fn it_ends_in_order_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = TempDir::new().expect("a folder");
        let mut cloud = Cloud::start(folder.path(), &[]);
        let file = folder.path().join("listen.addr");
        let address = std::fs::read_to_string(&file).expect("it is there while it serves");
        assert_eq!(address.trim(), cloud.address());
        let driver = cloud.driver();
        // An open connection does not keep it.
        driver.health().await.expect("it serves");
        let pid = Pid::from_child(&cloud.child);
        kill_process(pid, signal).expect("it runs");
        assert_eq!(cloud.ended().code(), Some(0));
        assert!(!file.exists(), "nobody is sent where nothing listens");
    }
}

fn refused(output: Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "no address is printed");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!words.contains("panicked"), "{words}");
    (output.status.code(), words)
}

#[test]
fn what_it_cannot_serve_is_told_with_what_to_do() {
    let folder = TempDir::new().expect("a folder");
    let run = |more: &[&str]| refused(command(folder.path(), more).output().expect("it starts"));
    let cloud = Cloud::start(folder.path(), &["--seed", "3"]);
    let (code, words) = run(&[]);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("is in use by process"), "{words}");
    drop(cloud);
    let (code, words) = run(&["--seed", "4"]);
    assert_eq!(code, Some(3), "{words}");
    assert!(
        words.contains("made with seed 3, not 4") && words.contains("hint: leave --seed out"),
        "{words}"
    );
    std::fs::write(
        folder.path().join("cloud.json"),
        "{\"version\":2,\"seed\":3}",
    )
    .expect("a file");
    let (code, words) = run(&[]);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("cloud.json has version 2"), "{words}");
    std::fs::write(folder.path().join("cloud.json"), "[").expect("a file");
    let (code, words) = run(&[]);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("cloud.json"), "{words}");
    let (code, words) = refused(
        command(Path::new("/proc/none"), &[])
            .output()
            .expect("it starts"),
    );
    assert_eq!(code, Some(4), "{words}");
    assert!(words.contains("/proc/none"), "{words}");
}
