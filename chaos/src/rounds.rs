//! Rounds of ingest, blow and audit, which both durability scenarios share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::audit::{Audit, Ledger};
use crate::error::ChaosError;
use crate::verdict::Verdict;
use crate::worker_process::{WorkerCommand, WorkerProcess};
use crate::workload::{Workload, WorkloadKind, workload};

/// How many acknowledgements a round waits for at most before its blow.
const ACKNOWLEDGEMENTS_MAX: usize = 400;

/// How much later than the last awaited acknowledgement a blow falls at most, in microseconds:
/// several fsyncs long, so that it strikes every phase of one.
const LINGER_US_MAX: u64 = 12_000;

/// One round in so many strikes at once, while the product still opens.
const EARLY_BLOW_ONE_IN: u32 = 8;

/// What a durability scenario needs to know.
#[derive(Clone, Debug)]
pub struct ScenarioOptions {
    /// How many blows.
    pub times: u32,
    /// Picks the moments and the content.
    pub seed: u64,
    /// What the worker ingests.
    pub workload: WorkloadKind,
    /// The binary that serves as the worker, with the subcommand `ingest-worker`.
    pub worker: PathBuf,
}

/// The state of a running scenario.
pub(crate) struct Rounds {
    command: WorkerCommand,
    workload: Box<dyn Workload>,
    random: ChaCha8Rng,
    ledger: Ledger,
    audit: Audit,
    verdict: Verdict,
}

impl Rounds {
    pub(crate) fn new(scenario: &'static str, options: &ScenarioOptions) -> Self {
        Self {
            command: WorkerCommand {
                program: options.worker.clone(),
                kind: options.workload,
                seed: options.seed,
            },
            workload: workload(options.workload, options.seed),
            random: ChaCha8Rng::seed_from_u64(options.seed),
            ledger: Ledger::default(),
            audit: Audit::default(),
            verdict: Verdict::new(scenario, options.workload.name(), options.seed),
        }
    }

    /// Runs a worker, deals the blow at a moment that the seed picks, and kills the worker.
    ///
    /// The blow may leave the worker running (it falls on the disk) or end it.
    pub(crate) fn strike(
        &mut self,
        round: u32,
        directory: &Path,
        blow: &mut dyn FnMut() -> Result<(), ChaosError>,
    ) -> Result<(), ChaosError> {
        let is_early = self.random.random_ratio(1, EARLY_BLOW_ONE_IN);
        let awaited = self.random.random_range(1..=ACKNOWLEDGEMENTS_MAX);
        let linger = Duration::from_micros(self.random.random_range(0..=LINGER_US_MAX));
        let first = self.workload.next_sequence(&self.ledger, &self.audit);
        let mut worker = WorkerProcess::start(&self.command, directory, first)?;
        if !is_early && !worker.wait_for(awaited) {
            let (_, last_words) = worker.kill();
            return Err(ChaosError::Worker {
                round,
                reason: format!("ended or went silent before the blow: {last_words:?}"),
                directory: directory.to_owned(),
            });
        }
        worker.linger(linger);
        blow()?;
        let (acknowledged, _) = worker.kill();
        self.verdict.blows += 1;
        for sequence in acknowledged {
            self.ledger.acknowledge(sequence);
        }
        Ok(())
    }

    /// Opens what is there and compares.
    pub(crate) fn audit(&mut self, directory: &Path) -> Result<(), ChaosError> {
        self.audit = match self.workload.audit(directory) {
            Ok(audit) => audit,
            // A product that does not open after a blow has lost what it acknowledged.
            Err(error) if error.is_of_product() => {
                self.verdict.failure = Some(error.chain());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.ledger.check(&self.audit);
        self.verdict.torn_tails += u64::from(self.audit.was_tail_torn);
        self.verdict.store_rebuilds += u64::from(self.audit.was_store_rebuilt);
        self.verdict.replayed_entries += self.audit.replayed_entries;
        Ok(())
    }

    /// Says whether a promise is broken already, so that going on proves nothing more.
    pub(crate) fn is_violated(&self) -> bool {
        self.verdict.failure.is_some()
            || !(self.ledger.lost().is_empty()
                && self.ledger.doubled().is_empty()
                && self.ledger.altered().is_empty())
    }

    pub(crate) fn finish(self) -> Verdict {
        self.verdict.conclude(&self.ledger, &self.audit)
    }
}
