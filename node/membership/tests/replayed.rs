//! One seed replays one run: gossip, faults, deaths and all, byte for byte.
//!
//! chitchat draws its peers from a generator that it seeds from the system, and walks hash maps whose keys
//! come from there too. So this program answers the system's random bytes itself, from a seed. tokio seeds
//! each runtime with a count of the process besides, so each run is a process of its own: this program,
//! called with `run SEED`, which is also how a developer looks at one run.
#![expect(
    unsafe_code,
    reason = "the C function `getrandom` is replaced in this test program, and only here"
)]

use anyhow::ensure;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use twinscale_membership::faults::{FaultNetwork, Faults};
use twinscale_membership::{
    ClusterKey, Endpoint, Environment, Identity, Incarnation, KeyRing, Membership,
    MembershipConfig, MembershipView, SchemaRange, SessionSalt, WallClock,
};
use twinscale_protocol::NodeId;
use twinscale_protocol::{ClusterId, NodeNumber};

thread_local! {
    /// Each run has a thread of its own, and so a generator of its own.
    static STATE: Cell<u64> = const { Cell::new(0) };
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn next_byte() -> u8 {
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 56).to_le_bytes()[0]
}

/// Fills a buffer as the system's function of this name does.
///
/// # Safety
/// `buffer` must be writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    ASKED.set(ASKED.get() + 1);
    // SAFETY: the caller vouches for `length` bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    bytes.fill_with(next_byte);
    length.cast_signed()
}

#[derive(Debug)]
struct PausedClock(Instant);

impl WallClock for PausedClock {
    fn unix_ms(&self) -> u64 {
        1_795_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).expect("short")
    }
}

fn address(number: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).expect("small")], 7_000))
}

async fn start(
    network: &FaultNetwork,
    clock: &Arc<PausedClock>,
    number: u64,
    life: u64,
) -> Membership {
    let identity = Identity {
        name: NodeId::new(format!("node-{number}")).expect("a name"),
        peer: Endpoint::new("peer:1").expect("an endpoint"),
        api: Endpoint::new("api:1").expect("an endpoint"),
        software: "0.1.0".to_owned(),
        schema: SchemaRange {
            oldest: 1,
            newest: 1,
        },
        zone: String::new(),
    };
    let cluster = ClusterId::new("replayed").expect("an id");
    let mut config = MembershipConfig::new(
        cluster,
        NodeNumber(number),
        Incarnation(life),
        identity,
        address(number),
    );
    config.seeds = vec![address(1).to_string(), address(2).to_string()];
    let mut salt = [0; 16];
    salt[0] = u8::try_from(life).expect("small");
    let environment = Environment {
        clock: Arc::<PausedClock>::clone(clock),
        datagrams: Arc::new(network.clone()),
        salt: SessionSalt::from_bytes(salt),
    };
    let key = ClusterKey::from_hex(&"0123456789abcdef".repeat(4)).expect("a key");
    Membership::start(config, KeyRing::new(key), environment)
        .await
        .expect("it starts")
}

/// Returns a hash of all datagrams, and what each of the living saw last.
async fn scenario(seed: u64) -> (String, Vec<Arc<MembershipView>>) {
    let network = FaultNetwork::new(seed);
    network.set_faults(Faults {
        lost_per_mille: 50,
        doubled_per_mille: 50,
        delay_ms: 1..=60,
    });
    let clock = Arc::new(PausedClock(Instant::now()));
    let mut members = Vec::new();
    for number in 1..=5 {
        members.push(start(&network, &clock, number, number).await);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    network.partition(&[1, 2].map(address), &[3, 4, 5].map(address));
    tokio::time::sleep(Duration::from_secs(10)).await;
    network.heal();
    members.pop().expect("five").stop().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    members.push(start(&network, &clock, 5, 6).await);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let seen = members.iter().map(Membership::view).collect();
    (network.trace(), seen)
}

fn run(seed: u64) -> anyhow::Result<()> {
    // A new thread, so that its hash keys and generators start from the seed too.
    let thread = std::thread::spawn(move || -> anyhow::Result<_> {
        STATE.set(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let (trace, seen) = runtime.block_on(scenario(seed));
        Ok((trace, seen, ASKED.get()))
    });
    let (trace, seen, asked) = thread.join().expect("the run does not panic")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "trace {trace}")?;
    writeln!(out, "random bytes asked for: {asked} times")?;
    for view in seen {
        let deaths: u64 = view.members.values().map(|one| one.deaths).sum();
        writeln!(out, "{} alive, {deaths} deaths: {view:?}", view.alive())?;
    }
    Ok(())
}

/// What a process that runs a seed writes.
fn written(seed: u64) -> anyhow::Result<String> {
    let run = Command::new(std::env::current_exe()?)
        .args(["run", &seed.to_string()])
        .output()?;
    let errors = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "seed {seed}: {errors}");
    Ok(String::from_utf8(run.stdout)?)
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, seed] = arguments.as_slice()
        && word == "run"
    {
        return run(seed.parse()?);
    }
    let mut traces = BTreeSet::new();
    for seed in 1..=5 {
        let first = written(seed)?;
        let living = first.matches("\n5 alive").count();
        ensure!(
            living == 5,
            "seed {seed}: not all see all at the end: {first}"
        );
        // The one that started last was not there when the network was cut.
        let saw_none = first.matches(" 0 deaths").count();
        ensure!(
            saw_none == 1,
            "seed {seed}: the partition was not seen: {first}"
        );
        ensure!(
            !first.contains("asked for: 0 times"),
            "random bytes came from elsewhere"
        );
        let again = written(seed)?;
        ensure!(
            first == again,
            "seed {seed} gave two runs: {first} and {again}"
        );
        traces.extend(first.lines().next().map(str::to_owned));
    }
    ensure!(traces.len() == 5, "several seeds gave one run");
    Ok(())
}
