//! Creation, settings, defaults, catalogue and the schema gate.

use super::apply::{Applied, Change, DONE, SAME};
use super::nodes::{check_facts, new_node};
use super::{MetaState, Refusal};
use crate::limits::{DEFAULTS_BYTES_MAX, MOVES_MAX, REPLICATION_MAX};
use crate::stored::v1::{
    Catalogue, Cluster, Creation, GroupRecord, NodeState, Setting, Settings, ShardCount, UnixMillis,
};
use twinscale_protocol::{NodeNumber, Seconds};

/// Longest grace of a dead node: a day.
const DEAD_AFTER_S_MAX: u32 = 86_400;

/// Shortest: below it a slow disk looks like a death.
const DEAD_AFTER_S_MIN: u32 = 5;

impl MetaState {
    pub(super) fn apply_creation(&mut self, creation: &Creation, at: UnixMillis) -> Change {
        if let Some(cluster) = &self.record.cluster {
            let cluster = cluster.id.clone();
            return Err(Refusal::ClusterExists { cluster });
        }
        let count = creation.shard_count;
        let shard_count = ShardCount::new(count).ok_or(Refusal::ShardCountRange { count })?;
        check_replication(creation.replication, u32::from(creation.nodes_expected))?;
        check_facts(&creation.first_node, creation.schema)?;
        self.record.cluster = Some(Cluster {
            id: creation.cluster.clone(),
            created_at: at,
            shard_count,
            nodes_expected: creation.nodes_expected,
        });
        let first = NodeNumber(1);
        self.record.schema = creation.schema;
        self.record.settings = Settings {
            replication: creation.replication,
            ..Settings::default()
        };
        self.record.nodes = vec![new_node(first, creation.first_node.clone(), at)];
        self.record.meta = GroupRecord {
            voters: vec![first],
            founded: true,
            ..GroupRecord::default()
        };
        let shards = usize::try_from(shard_count.get()).unwrap_or_default();
        self.record.shards = vec![GroupRecord::default(); shards];
        Ok((Applied::Joined(first), true))
    }

    pub(super) fn apply_setting(&mut self, setting: Setting, shards: ShardCount) -> Change {
        let mut settings = self.record.settings;
        match setting {
            Setting::Replication(replication) => {
                check_replication(replication, self.serving())?;
                settings.replication = replication;
            }
            Setting::MovesAtOnce(moves) => {
                let most = u64::try_from(MOVES_MAX).unwrap_or(u64::MAX);
                check_range(u64::from(moves), 1, most)?;
                settings.moves_at_once = moves;
            }
            Setting::DeadAfter(Seconds(grace)) => {
                check_range(
                    u64::from(grace),
                    DEAD_AFTER_S_MIN.into(),
                    DEAD_AFTER_S_MAX.into(),
                )?;
                settings.dead_after = Seconds(grace);
            }
            Setting::ShardCount(wanted) if wanted == shards.get() => {}
            Setting::ShardCount(wanted) => {
                let count = shards.get();
                return Err(Refusal::ShardCountFixed { count, wanted });
            }
        }
        if settings == self.record.settings {
            return SAME;
        }
        self.record.settings = settings;
        DONE
    }

    pub(super) fn apply_defaults(&mut self, given: u64, bytes: &[u8]) -> Change {
        if bytes.len() > DEFAULTS_BYTES_MAX {
            let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Err(Refusal::DefaultsSize { bytes });
        }
        let defaults = &mut self.record.defaults;
        if defaults.version == given.saturating_add(1) && defaults.bytes == bytes {
            return SAME;
        }
        if defaults.version != given || given == u64::MAX {
            let version = defaults.version;
            return Err(Refusal::StaleDefaults { version, given });
        }
        defaults.version = given.saturating_add(1);
        bytes.clone_into(&mut defaults.bytes);
        DONE
    }

    pub(super) fn apply_catalogue(&mut self, catalogue: Catalogue) -> Change {
        if catalogue == self.record.catalogue {
            return SAME;
        }
        let version = self.record.catalogue.version;
        if catalogue.version <= version {
            let given = catalogue.version;
            return Err(Refusal::OldCatalogue { version, given });
        }
        self.record.catalogue = catalogue;
        DONE
    }

    /// Raises the gate. Nodes that drain still apply entries, so they count as well; a dead one is asked
    /// when it comes back.
    pub(super) fn apply_schema(&mut self, to: u32) -> Change {
        let gate = self.record.schema;
        if to < gate {
            return Err(Refusal::SchemaFalls { to, gate });
        }
        let applies = |state| !matches!(state, NodeState::Decommissioned | NodeState::Dead);
        let active = self.nodes().iter().filter(|node| applies(node.state));
        for node in active {
            let newest = node.facts.schema.newest;
            if newest < to {
                let node = node.number;
                return Err(Refusal::SchemaUnsupported { node, newest, to });
            }
        }
        if to == gate {
            return SAME;
        }
        self.record.schema = to;
        DONE
    }
}

fn check_replication(replication: u8, nodes: u32) -> Result<(), Refusal> {
    if replication == 0 || replication > REPLICATION_MAX {
        return Err(Refusal::ReplicationRange { replication });
    }
    if replication.is_multiple_of(2) {
        return Err(Refusal::EvenReplication { replication });
    }
    if u32::from(replication) > nodes {
        return Err(Refusal::MoreReplicasThanNodes { replication, nodes });
    }
    Ok(())
}

fn check_range(value: u64, least: u64, most: u64) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(Refusal::SettingRange { value, least, most })
    }
}
