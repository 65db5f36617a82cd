//! Fells actors of a running daemon through its fault port, and sees them come back through its API.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use clap::ValueEnum as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use twinscale::load::client::{ApiClient, Target};
use twinscale::service::api::{CustomersReply, NodeReply, ThreadsView, TwinReply};
use twinscale::service::daemon::FAULT_ADDRESS_FILE;
use twinscale::service::fault_port::{StrikeBlow, StrikeReply, StrikeRequest, StrikeVictim};
use twinscale::workload::from_samples;

use super::daemon::{Daemon, LOOK_PAUSE, PATIENCE};
use super::load::of_product;
use super::struck::{ActorsUnderLoad, Recoveries, Recovery};
use super::turns::{Follower, Window};
use super::{ServiceFault, ServiceOptions, StrikeOptions};
use crate::error::ChaosError;

/// Threads that a daemon may lose where losing them is the fault.
pub(super) const ABANDONED_MAX: u32 = 3;

/// The same where it must survive every strike.
const ABANDONED_AMPLE: u32 = 1_024;

/// Limit of a job where losing threads is the fault, in seconds.
const LIMIT_S: u32 = 2;

/// The strikes of a run.
#[derive(Debug)]
pub(super) struct Strikes {
    client: ApiClient,
    data_dir: PathBuf,
    options: StrikeOptions,
    customers: Vec<String>,
    follower: Follower,
    /// Kinds and blows that are still to come before all come again.
    deck: Vec<(StrikeVictim, StrikeBlow)>,
    windows: Vec<Window>,
    recoveries: Recoveries,
}

/// The further arguments of a daemon whose actors are struck; none for other faults.
pub(super) fn daemon_arguments(
    options: &ServiceOptions,
    scratch: &Path,
) -> Result<Vec<OsString>, ChaosError> {
    let (limit_s, abandoned_max) = match options.fault {
        ServiceFault::Actors => (options.strikes.limit_s, ABANDONED_AMPLE),
        ServiceFault::HungThreads => (LIMIT_S, ABANDONED_MAX),
        _ => return Ok(Vec::new()),
    };
    let shared_s = 2 * limit_s + 1;
    let settings = format!(
        "[node.watch]\nforecast_job_s = {limit_s}\nplan_job_s = {limit_s}\nshared_message_s = {shared_s}\n\
         twin_message_s = {limit_s}\nabandoned_threads_max = {abandoned_max}\n"
    );
    let path = scratch.join("node.toml");
    fs::write(&path, settings).map_err(|error| ChaosError::io("write", &path, error))?;
    Ok(vec![
        "--fault-port".into(),
        "127.0.0.1:0".into(),
        "--config".into(),
        path.into(),
    ])
}

/// Counts the series of a load: at so many samples a second each sends one a second.
pub(super) fn series_count(customers: u32) -> Result<u32, ChaosError> {
    let sources = from_samples(usize::MAX, 1).map_err(|error| ChaosError::Product {
        reason: format!("{error:#}"),
    })?;
    let counts = sources.iter().map(|one| one.trace.series.len()).cycle();
    let wanted = usize::try_from(customers).unwrap_or(usize::MAX);
    let count: usize = counts.take(wanted).sum();
    Ok(u32::try_from(count).unwrap_or(u32::MAX).max(1))
}

/// Deals a blow; returns the id of the incarnation that was hit.
pub(super) async fn deal(data_dir: &Path, strike: &StrikeRequest) -> Result<String, ChaosError> {
    let path = data_dir.join(FAULT_ADDRESS_FILE);
    let address =
        fs::read_to_string(&path).map_err(|error| ChaosError::io("read", &path, error))?;
    let client = ApiClient::new(Target::Url(format!("http://{}", address.trim())));
    let body = serde_json::to_vec(strike).map_err(of_product)?;
    let path = "/chaos/v1/strike";
    let answer = client.send(Method::POST, path, Bytes::from(body)).await;
    let answer = answer.map_err(of_product)?;
    if answer.status != StatusCode::OK {
        let text = String::from_utf8_lossy(&answer.body);
        let reason = format!("{strike:?} was answered {}: {text}", answer.status);
        return Err(ChaosError::Product { reason });
    }
    let reply: StrikeReply = answer.json(path).map_err(of_product)?;
    Ok(reply.id)
}

impl Strikes {
    /// Waits until every customer's twin takes its turns.
    pub(super) async fn begin(
        options: &ServiceOptions,
        client: &ApiClient,
        list: &Path,
    ) -> Result<Self, ChaosError> {
        let wanted = usize::try_from(options.customers).unwrap_or(usize::MAX);
        let path = format!("/v1/customers?limit={wanted}");
        let begun = Instant::now();
        let customers = loop {
            let reply: CustomersReply = client.get(&path).await.map_err(of_product)?;
            let driven = reply.customers.iter().filter(|one| one.state == "driven");
            if driven.count() == wanted {
                break reply.customers.into_iter().map(|one| one.customer);
            }
            if begun.elapsed() > PATIENCE {
                let reason = format!("not all of {wanted} twins run after {PATIENCE:?}");
                return Err(ChaosError::Product { reason });
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        };
        let customers: Vec<String> = customers.collect();
        let Target::DataDir(data_dir) = client.target().clone() else {
            let reason = "the client of a scenario finds its daemon by its directory".to_owned();
            return Err(ChaosError::Product { reason });
        };
        let strikes = Self {
            follower: Follower::start(client, &customers, list),
            client: client.clone(),
            data_dir,
            options: options.strikes.clone(),
            customers,
            deck: Vec::new(),
            windows: Vec::new(),
            recoveries: Recoveries::new(),
        };
        strikes.wait_for_turns(&strikes.customers, &[]).await?;
        Ok(strikes)
    }

    /// Length of a twin's step, in microseconds.
    pub(super) fn step_us(&self) -> u64 {
        u64::from(self.options.interval_s) * 1_000_000
    }

    /// Strikes once, waits until the actor is back and all is fresh again.
    pub(super) async fn strike(
        &mut self,
        daemon: &mut Daemon,
        random: &mut ChaCha8Rng,
    ) -> Result<(), ChaosError> {
        let (victim, blow) = self.draw(random)?;
        let customer = self.customers.choose(random).cloned();
        let strike = StrikeRequest {
            victim,
            customer: customer.clone(),
            blow,
            // It ends long after it was given up, so that its late end is met as well.
            hang_s: Some(2 * self.options.limit_s + 1),
        };
        let struck = customer.filter(|_| victim == StrikeVictim::Twin);
        let waited_for = match &struck {
            Some(customer) => vec![customer.clone()],
            None => self.customers.clone(),
        };
        self.follower.look().await;
        let counts: Vec<usize> = waited_for
            .iter()
            .map(|customer| self.follower.count(customer))
            .collect();
        let jobs = self.jobs_of(victim).await?;
        let from = Instant::now();
        let outcome = self
            .recover(&strike, &jobs, (&waited_for, &counts), from)
            .await;
        let recovery =
            outcome.map_err(|error| daemon.failure(&format!("{}: {strike:?}", error.chain())))?;
        self.recoveries
            .entry((victim, blow))
            .or_default()
            .push(recovery);
        self.windows.push(Window {
            struck,
            from,
            until: Instant::now(),
        });
        Ok(())
    }

    async fn recover(
        &self,
        strike: &StrikeRequest,
        jobs: &ThreadsView,
        (waited_for, counts): (&[String], &[usize]),
        from: Instant,
    ) -> Result<Recovery, ChaosError> {
        let id = deal(&self.data_dir, strike).await?;
        if costs_a_thread(strike) {
            self.wait_for_jobs(strike, jobs, &id).await?;
        } else {
            self.wait_for_other(strike, &id).await?;
        }
        let back = from.elapsed();
        let fresh = self.wait_for_turns(waited_for, counts).await?;
        Ok(Recovery {
            back,
            fresh: fresh.map_or(back, |last| last.duration_since(from)),
        })
    }

    /// Takes the next kind and blow; each comes once before any comes again.
    fn draw(&mut self, random: &mut ChaCha8Rng) -> Result<(StrikeVictim, StrikeBlow), ChaosError> {
        if self.deck.is_empty() {
            self.deck = deck(&self.options);
            self.deck.shuffle(random);
        }
        self.deck.pop().ok_or_else(|| ChaosError::Product {
            reason: "a twin runs no jobs: strike it with panic, kill or hang".to_owned(),
        })
    }

    /// Waits until the actor runs under another id than the one that was struck.
    async fn wait_for_other(&self, strike: &StrikeRequest, id: &str) -> Result<(), ChaosError> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.id_of(strike).await?.is_some_and(|now| now != id) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let reason = format!("actor {id} did not come back within {PATIENCE:?}");
        Err(ChaosError::Product { reason })
    }

    /// Waits until the struck job has cost its thread and another job is done; the actor stays.
    async fn wait_for_jobs(
        &self,
        strike: &StrikeRequest,
        before: &ThreadsView,
        id: &str,
    ) -> Result<(), ChaosError> {
        let begun = Instant::now();
        let mut done = None;
        while begun.elapsed() < PATIENCE {
            let jobs = self.jobs_of(strike.victim).await?;
            match done {
                None if jobs.panicked + jobs.hung > before.panicked + before.hung => {
                    done = Some(jobs.done);
                }
                Some(done) if jobs.done > done => {
                    let now = self.id_of(strike).await?;
                    if now.as_deref() == Some(id) {
                        return Ok(());
                    }
                    let reason = format!("a job took actor {id} with it: {now:?} runs now");
                    return Err(ChaosError::Product { reason });
                }
                _ => {}
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let reason = format!("no job was done within {PATIENCE:?} after one that failed");
        Err(ChaosError::Product { reason })
    }

    /// Waits until each of the twins had a turn with nothing wanting, behind so many turns; returns when
    /// the last of these was seen.
    async fn wait_for_turns(
        &self,
        customers: &[String],
        counts: &[usize],
    ) -> Result<Option<Instant>, ChaosError> {
        let begun = Instant::now();
        let counts = counts.iter().copied().chain(std::iter::repeat(0));
        let wanted: Vec<(&String, usize)> = customers.iter().zip(counts).collect();
        while begun.elapsed() < PATIENCE {
            let clean = wanted
                .iter()
                .map(|(customer, count)| self.follower.clean_since(customer, *count));
            if let Some(clean) = clean.collect::<Option<Vec<Instant>>>() {
                return Ok(clean.into_iter().max());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let late: Vec<&String> = wanted
            .iter()
            .filter(|(customer, count)| self.follower.clean_since(customer, *count).is_none())
            .map(|(customer, _)| *customer)
            .collect();
        let reason = format!("no fresh turn of {late:?} within {PATIENCE:?}");
        Err(ChaosError::Product { reason })
    }

    async fn id_of(&self, strike: &StrikeRequest) -> Result<Option<String>, ChaosError> {
        if let (StrikeVictim::Twin, Some(customer)) = (strike.victim, &strike.customer) {
            let path = format!("/v1/customers/{customer}");
            let twin: TwinReply = self.client.get(&path).await.map_err(of_product)?;
            return Ok(twin.actor_id);
        }
        let node = self.node().await?;
        let name = name_of(strike.victim);
        let mut actors = node.actors.into_iter();
        Ok(actors
            .find(|actor| actor.name == name)
            .and_then(|actor| actor.id))
    }

    async fn jobs_of(&self, victim: StrikeVictim) -> Result<ThreadsView, ChaosError> {
        let (node, name) = (self.node().await?, name_of(victim));
        let mut threads = node.threads.into_iter();
        let none = ThreadsView {
            name: name.to_owned(),
            done: 0,
            panicked: 0,
            hung: 0,
        };
        Ok(threads.find(|one| one.name == name).unwrap_or(none))
    }

    async fn node(&self) -> Result<NodeReply, ChaosError> {
        self.client.get("/v1/node").await.map_err(of_product)
    }

    /// Stops to follow, and says what it came to.
    pub(super) fn conclude(self) -> ActorsUnderLoad {
        ActorsUnderLoad::of(
            &self.recoveries,
            &self.follower,
            &self.windows,
            self.options.interval_s,
        )
    }
}

/// All kinds and blows that the options ask for.
fn deck(options: &StrikeOptions) -> Vec<(StrikeVictim, StrikeBlow)> {
    let is_asked_for = |victim: &StrikeVictim, blow: &StrikeBlow| {
        let has_jobs = *victim != StrikeVictim::Twin;
        let is_job = matches!(blow, StrikeBlow::PanicJob | StrikeBlow::HangJob);
        (has_jobs || !is_job)
            && (options.only.is_empty() || options.only.contains(victim))
            && options.blow.is_none_or(|only| only == *blow)
    };
    let mut deck = Vec::new();
    for victim in StrikeVictim::value_variants() {
        let blows = StrikeBlow::value_variants().iter();
        let blows = blows.filter(|blow| is_asked_for(victim, blow));
        deck.extend(blows.map(|blow| (*victim, *blow)));
    }
    deck
}

/// Whether the actor survives the strike and loses a thread.
fn costs_a_thread(strike: &StrikeRequest) -> bool {
    let is_job = matches!(strike.blow, StrikeBlow::PanicJob | StrikeBlow::HangJob);
    // A lane of the provisioner is an actor, and takes the provisioner with it.
    is_job && strike.victim != StrikeVictim::Provisioner
}

fn name_of(victim: StrikeVictim) -> &'static str {
    match victim {
        StrikeVictim::Twin => "twin",
        StrikeVictim::Forecaster => "forecaster",
        StrikeVictim::Optimizer => "optimizer",
        StrikeVictim::Provisioner => "provisioner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_struck_in_every_way_that_it_can_be() {
        let options = |only: &[StrikeVictim], blow| StrikeOptions {
            only: only.to_vec(),
            blow,
            interval_s: 4,
            limit_s: 3,
        };
        assert_eq!(deck(&options(&[], None)).len(), 3 + 3 * 5);
        assert_eq!(deck(&options(&[StrikeVictim::Twin], None)).len(), 3);
        let hung = deck(&options(&[], Some(StrikeBlow::HangJob)));
        assert_eq!(hung.len(), 3, "{hung:?}");
        let none = options(&[StrikeVictim::Twin], Some(StrikeBlow::PanicJob));
        assert_eq!(deck(&none), []);
    }
}
