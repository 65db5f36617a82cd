//! The replicas of a node: which there are, kept on disk, started, and deleted.
//!
//! Invariants: a replica that runs is recorded, durably, before it runs; one that is given up is recorded so
//! before anything of it goes, and its deletion goes on after a restart; none is made again under a number up
//! to which one was deleted. Not here: who should hold what.

mod error;

pub use error::KeeperError;

use super::records::{RecordsFile, ReplicaRecords};
use super::replica::{Ground, Machine, consensus_group};
use super::shown::MetaShown;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, watch};
use twinscale_consensus::Groups;
use twinscale_log::disk::Disk;
use twinscale_meta::stored::v1::SchemaRange;
use twinscale_meta::{GroupId, ShardCount, shard_of};
use twinscale_protocol::{CustomerId, ShardId};
use twinscale_shards::{ShardHost, WriterOptions};
use twinscale_store::StoreOptions;
use twinscale_twin::shard::{ShardStores, ShardTwins};

/// Where a node keeps its replicas and what they run on.
#[derive(Debug)]
pub struct KeeperParts {
    /// The node's groups, none of which runs yet.
    pub groups: Arc<Groups>,
    /// Where the shards that run are found.
    pub host: Arc<ShardHost>,
    /// Where the state of group 0 is shown.
    pub shown: Arc<MetaShown>,
    /// The folder of the records.
    pub records: Arc<dyn Disk>,
    /// The folder of the shards' store.
    pub store: PathBuf,
    /// How the store is opened.
    pub store_options: StoreOptions,
    /// Bounds of the shards' writers.
    pub writer: WriterOptions,
    /// The schemas that this program knows.
    pub schemas: SchemaRange,
}

/// The replicas of a node.
#[derive(Debug)]
pub struct ReplicaKeeper {
    groups: Arc<Groups>,
    host: Arc<ShardHost>,
    shown: Arc<MetaShown>,
    writer: WriterOptions,
    schemas: SchemaRange,
    file: RecordsFile,
    kept: Mutex<Kept>,
    held: watch::Sender<BTreeMap<GroupId, u64>>,
    /// The cluster's number of shards, once it is recorded.
    shards: Arc<OnceLock<ShardCount>>,
}

#[derive(Debug)]
struct Kept {
    records: ReplicaRecords,
    stores: Arc<ShardStores>,
    /// Replicas that run, and those that were stopped and not let go of yet.
    machines: BTreeMap<GroupId, Machine>,
}

/// Does work to its end, also when whoever asked gives up: half done it would leave a replica without its
/// state. With the process it ends as in a crash.
#[expect(
    clippy::disallowed_methods,
    reason = "the caller awaits it, or gave up and wants it done all the same"
)]
async fn to_its_end(
    work: impl Future<Output = Result<(), KeeperError>> + Send + 'static,
) -> Result<(), KeeperError> {
    let ended = tokio::spawn(work).await;
    ended.unwrap_or_else(|error| {
        Err(KeeperError::Task {
            reason: error.to_string(),
        })
    })
}

async fn blocking<T: Send + 'static, E: Into<KeeperError> + Send + 'static>(
    call: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, KeeperError> {
    let ended = tokio::task::spawn_blocking(call).await;
    let outcome = ended.map_err(|error| KeeperError::Task {
        reason: error.to_string(),
    })?;
    outcome.map_err(Into::into)
}

impl ReplicaKeeper {
    /// Opens the store, ends deletions that were cut short, and starts the replicas that are recorded. One
    /// that does not start is told and left out; the others serve.
    ///
    /// # Errors
    /// [`KeeperError`], when records or store cannot be read.
    pub async fn open(parts: KeeperParts) -> Result<Arc<Self>, KeeperError> {
        let file = RecordsFile::new(parts.records);
        let found = blocking({
            let file = file.clone();
            move || file.load()
        })
        .await?;
        if found.is_none() && !parts.groups.log().groups().is_empty() {
            return Err(KeeperError::RecordsMissing);
        }
        let records = found.unwrap_or_default();
        let count = records.shards.and_then(ShardCount::new);
        let (store, options) = (parts.store, parts.store_options);
        let (found, stores, report) = blocking(move || {
            ShardStores::open_at(&store, options, &|customer| shard_in(customer, count))
        })
        .await?;
        tracing::info!(?report, "the store of the shards is open");
        let keeper = Self {
            groups: parts.groups,
            host: parts.host,
            shown: parts.shown,
            writer: parts.writer,
            schemas: parts.schemas,
            file,
            kept: Mutex::new(Kept {
                records,
                stores,
                machines: BTreeMap::new(),
            }),
            held: watch::Sender::default(),
            shards: Arc::new(count.map(OnceLock::from).unwrap_or_default()),
        };
        keeper.resume(found).await?;
        Ok(Arc::new(keeper))
    }

    async fn resume(&self, found: Vec<ShardTwins>) -> Result<(), KeeperError> {
        let mut kept = self.kept.lock().await;
        let kept = &mut *kept;
        let mut found: BTreeMap<GroupId, ShardTwins> = found
            .into_iter()
            .map(|twins| (GroupId::Shard(twins.shard()), twins))
            .collect();
        let groups: Vec<GroupId> = kept.records.held.keys().copied().collect();
        for group in groups {
            let twins = found.remove(&group);
            if let Err(error) = self.start(kept, group, twins).await {
                tracing::error!(%group, %error, "a replica does not start; the others serve");
            }
        }
        // What is left belongs to replicas that were given up.
        for (group, twins) in found {
            tracing::info!(%group, "the twins of a replica that was given up are erased");
            blocking(move || twins.erase()).await?;
        }
        let deleting: Vec<GroupId> = kept.records.deleting.iter().copied().collect();
        for group in deleting {
            self.delete(kept, group).await?;
        }
        self.show(kept);
        Ok(())
    }

    /// The replicas that run here with their numbers, and changes of them.
    pub fn held(&self) -> watch::Receiver<BTreeMap<GroupId, u64>> {
        self.held.subscribe()
    }

    /// The number of shards that replicas were recorded under here; it is the cluster's, for ever.
    pub fn shards(&self) -> Option<ShardCount> {
        self.shards.get().copied()
    }

    /// The same, for whoever must not keep the replicas alive.
    pub(crate) fn recorded_shards(&self) -> Arc<OnceLock<ShardCount>> {
        Arc::clone(&self.shards)
    }

    /// The node's groups.
    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// Where the state of group 0 is shown.
    pub fn shown(&self) -> &Arc<MetaShown> {
        &self.shown
    }

    /// Makes an empty replica, unless there is one, whose number stays.
    ///
    /// # Errors
    /// [`KeeperError::Remembered`] when there was one: it may have voted; otherwise those of the disk.
    pub async fn make_first(
        self: &Arc<Self>,
        group: GroupId,
        number: u64,
        shards: u32,
    ) -> Result<(), KeeperError> {
        let keeper = Arc::clone(self);
        to_its_end(async move { keeper.first(group, number, shards).await }).await
    }

    /// Makes an empty replica that is to learn; one that is there keeps its content and takes the newer
    /// number.
    ///
    /// # Errors
    /// [`KeeperError::Remembered`] when one up to this number was deleted; otherwise those of the disk.
    pub async fn make_learner(
        self: &Arc<Self>,
        group: GroupId,
        number: u64,
        shards: u32,
    ) -> Result<(), KeeperError> {
        let keeper = Arc::clone(self);
        to_its_end(async move { keeper.learner(group, number, shards).await }).await
    }

    /// Deletes a replica with its log and its part of the store, and remembers up to which number none is
    /// made again. One that was made under a newer number stays.
    ///
    /// # Errors
    /// [`KeeperError`]: when anything of it is left, the next call or the next start goes on.
    pub async fn drop_replica(
        self: &Arc<Self>,
        group: GroupId,
        made_up_to: u64,
    ) -> Result<(), KeeperError> {
        let keeper = Arc::clone(self);
        to_its_end(async move { keeper.drop_up_to(group, made_up_to).await }).await
    }

    async fn first(&self, group: GroupId, number: u64, shards: u32) -> Result<(), KeeperError> {
        let mut kept = self.kept.lock().await;
        let remembered = kept.records.remembered.get(&group).copied();
        if let Some(remembered) = remembered.filter(|_| !kept.records.held.contains_key(&group)) {
            return Err(KeeperError::Remembered { group, remembered });
        }
        self.make(&mut kept, group, number, shards).await
    }

    async fn learner(&self, group: GroupId, number: u64, shards: u32) -> Result<(), KeeperError> {
        let mut kept = self.kept.lock().await;
        let remembered = kept.records.remembered.get(&group).copied();
        if let Some(remembered) = remembered.filter(|remembered| number <= *remembered) {
            return Err(KeeperError::Remembered { group, remembered });
        }
        let held = kept.records.held.get(&group).copied();
        if held.is_some_and(|held| held < number) {
            let mut records = kept.records.clone();
            records.held.insert(group, number);
            self.save(&mut kept, records).await?;
        }
        self.make(&mut kept, group, number, shards).await
    }

    /// Says whether a replica is here under just this number.
    ///
    /// # Errors
    /// [`KeeperError::NotHeld`].
    pub async fn check_number(&self, group: GroupId, number: u64) -> Result<(), KeeperError> {
        let kept = self.kept.lock().await;
        if kept.records.held.get(&group) == Some(&number) {
            return Ok(());
        }
        Err(KeeperError::NotHeld { group, number })
    }

    async fn drop_up_to(&self, group: GroupId, made_up_to: u64) -> Result<(), KeeperError> {
        let mut kept = self.kept.lock().await;
        let kept = &mut *kept;
        let held = kept.records.held.get(&group).copied();
        if held.is_some_and(|number| number > made_up_to) {
            return Ok(());
        }
        let mut records = kept.records.clone();
        let remembered = records.remembered.entry(group).or_default();
        *remembered = made_up_to.max(*remembered);
        if records.held.remove(&group).is_some() {
            records.deleting.insert(group);
        }
        if records != kept.records {
            self.save(kept, records).await?;
            self.show(kept);
        }
        if kept.records.deleting.contains(&group) {
            self.delete(kept, group).await?;
        }
        Ok(())
    }

    async fn make(
        &self,
        kept: &mut Kept,
        group: GroupId,
        number: u64,
        shards: u32,
    ) -> Result<(), KeeperError> {
        let known = kept.records.shards.unwrap_or(shards);
        if known != shards {
            let given = shards;
            return Err(KeeperError::ShardCount { given, known });
        }
        if kept.records.deleting.contains(&group) {
            self.delete(kept, group).await?;
        }
        if !kept.records.held.contains_key(&group) {
            let mut records = kept.records.clone();
            records.held.insert(group, number);
            records.shards = Some(shards);
            self.save(kept, records).await?;
        }
        match kept.machines.get(&group) {
            None => self.start(kept, group, None).await?,
            Some(Machine::Lost) => return Err(KeeperError::Lost { group }),
            Some(_) => {}
        }
        self.show(kept);
        Ok(())
    }

    async fn start(
        &self,
        kept: &mut Kept,
        group: GroupId,
        twins: Option<ShardTwins>,
    ) -> Result<(), KeeperError> {
        let ground = self.ground();
        let started = match group {
            GroupId::Meta => ground.start_meta().await,
            GroupId::Shard(shard) => {
                let twins = twins.unwrap_or_else(|| kept.stores.empty(shard));
                ground.start_shard(twins).await
            }
        };
        let (machine, outcome) = match started {
            Ok(machine) => (machine, Ok(())),
            Err(error) => (Machine::Lost, Err(error)),
        };
        kept.machines.insert(group, machine);
        outcome
    }

    async fn delete(&self, kept: &mut Kept, group: GroupId) -> Result<(), KeeperError> {
        let machine = kept.machines.remove(&group);
        let twins = match self.ground().end(group, machine).await {
            Ok(twins) => twins,
            Err((error, machine)) => {
                kept.machines
                    .extend(machine.map(|machine| (group, machine)));
                return Err(error);
            }
        };
        if let Some(twins) = twins
            && let Err(error) = blocking(move || twins.erase()).await
        {
            kept.machines.insert(group, Machine::Lost);
            return Err(error);
        }
        let erased = self.groups.erase(consensus_group(group)).await;
        erased.map_err(|source| KeeperError::Erase { group, source })?;
        let mut records = kept.records.clone();
        records.deleting.remove(&group);
        self.save(kept, records).await
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            groups: &self.groups,
            host: &self.host,
            shown: &self.shown,
            writer: self.writer,
            schemas: self.schemas,
        }
    }

    async fn save(&self, kept: &mut Kept, records: ReplicaRecords) -> Result<(), KeeperError> {
        let (file, saved) = (self.file.clone(), records.clone());
        blocking(move || file.save(&saved)).await?;
        if let Some(count) = records.shards.and_then(ShardCount::new) {
            self.shards.get_or_init(|| count);
        }
        kept.records = records;
        Ok(())
    }

    fn show(&self, kept: &Kept) {
        let held = kept.records.held.iter();
        let runs = |group| !matches!(kept.machines.get(group), None | Some(Machine::Lost));
        let running = held.filter(|(group, _)| runs(*group));
        let running = running.map(|(group, number)| (*group, *number)).collect();
        self.held.send_replace(running);
    }
}

/// The shard of a customer; without a number of shards the store holds no customer.
fn shard_in(customer: &CustomerId, count: Option<ShardCount>) -> ShardId {
    count.map_or(ShardId(0), |count| shard_of(customer, count))
}
