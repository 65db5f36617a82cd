//! The scenario `service`: a real daemon under load meets faults of its machine.
//!
//! `twinscale load` sends samples all the while and keeps its own list of what was acknowledged; a blow
//! falls after a stretch of acknowledgements that the seed picks; the daemon is started again, and what is
//! on the list is read back through the API. Every acknowledged sample must be there with its value, once.
//!
//! With the fault `actors` the daemon goes on and its actors are felled, each kind in each way: they must
//! come back, the turns of other twins must go on, and so must the acknowledgements.

mod blows;
mod daemon;
mod data_disk;
mod load;
mod strikes;
mod struck;
mod turns;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use twinscale::service::fault_port::{StrikeBlow, StrikeVictim};

use crate::error::ChaosError;
use blows::Scene;

pub use struck::{ActorsUnderLoad, StruckKind};
pub use turns::TurnTally;
pub use verdict::ServiceVerdict;

/// Rounds between two looks at everything that was acknowledged; the last one is always followed by one.
const ROUNDS_PER_AUDIT: u32 = 10;

/// How much the list of acknowledged samples grows before a blow at most, in bytes: some 400 samples.
const GROWTH_BYTES_MAX: u64 = 20_000;

/// Samples a second where nothing else is asked for.
const RATE: u32 = 400;

/// Samples of a request: few, so that blows fall into all phases.
const BATCH: u32 = 25;

/// The same where single acknowledgements are watched.
const BATCH_WATCHED: u32 = 2;

/// Length of a planning step where turns are no matter, in seconds.
const INTERVAL_S: u32 = 300;

/// How much later the blow falls at most, in microseconds: several fsyncs long.
const LINGER_US_MAX: u64 = 12_000;

/// What befalls the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ServiceFault {
    /// SIGKILL.
    Kill9,
    /// The power of its disk fails, and it is killed.
    PowerCut,
    /// Its disk fills up and has room again.
    DiskFull,
    /// A sync of its disk fails.
    FsyncError,
    /// Its actors panic, are killed or hang.
    Actors,
    /// So many of its jobs hang that it must end.
    HungThreads,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// What befalls it.
    pub fault: ServiceFault,
    /// How often.
    pub times: u32,
    /// Picks the moments and the content.
    pub seed: u64,
    /// Customers of the load.
    pub customers: u32,
    /// Samples a second of the load; where actors are struck, one a second of each series unless said.
    pub rate: Option<u32>,
    /// Which actors are struck.
    pub strikes: StrikeOptions,
    /// The program that serves as daemon and as load, with the subcommand `node`.
    pub program: PathBuf,
}

/// Which actors are struck, and how.
#[derive(Clone, Debug)]
pub struct StrikeOptions {
    /// Only these kinds; all where there is none.
    pub only: Vec<StrikeVictim>,
    /// Only in this way.
    pub blow: Option<StrikeBlow>,
    /// Length of the twins' steps, in seconds.
    pub interval_s: u32,
    /// Time after which a job and a message of a twin count as hung, in seconds.
    pub limit_s: u32,
}

impl ServiceFault {
    /// Returns the name as the command line spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill9 => "kill9",
            Self::PowerCut => "power-cut",
            Self::DiskFull => "disk-full",
            Self::FsyncError => "fsync-error",
            Self::Actors => "actors",
            Self::HungThreads => "hung-threads",
        }
    }
}

/// Runs the scenario.
///
/// # Errors
/// [`ChaosError::NeedsRoot`] for faults of the disk without root; [`ChaosError`] when the scenario cannot
/// run; a broken promise is in the verdict.
pub fn run_service(options: &ServiceOptions) -> Result<ServiceVerdict, ChaosError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ChaosError::io("build", "a runtime", error))?;
    runtime.block_on(run(options))
}

async fn run(options: &ServiceOptions) -> Result<ServiceVerdict, ChaosError> {
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut scene = Scene::set(options).await?;
    for round in 1..=options.times {
        let played = play(&mut scene, &mut random, round).await;
        if scene.verdict.blame(played)? {
            break;
        }
    }
    let ended = scene.end().await;
    scene.verdict.blame(ended)?;
    Ok(scene.take_down())
}

async fn play(scene: &mut Scene, random: &mut ChaCha8Rng, round: u32) -> Result<(), ChaosError> {
    let (growth_bytes_max, linger_us_max) = scene.moment_max();
    let growth = random.random_range(1..=growth_bytes_max);
    let linger = Duration::from_micros(random.random_range(0..=linger_us_max));
    scene.wait_for_growth(growth).await?;
    tokio::time::sleep(linger).await;
    scene.strike(random).await?;
    if round.is_multiple_of(ROUNDS_PER_AUDIT) {
        scene.audit().await?;
    }
    Ok(())
}
