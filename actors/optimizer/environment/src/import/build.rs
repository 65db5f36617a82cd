//! Makes a model of what a file says, and lists what it does not say.

use crate::import::annotate::annotated;
use crate::import::draft::{Draft, DraftTier};
use crate::import::error::ImportError;
use crate::import::gap::{Gap, Imported};
use crate::import::graph::reached;
use crate::import::image::{KnownImage, SERVICE_MEAN_S, recognise};
use crate::import::name::{sanitised, tier_names};
use crate::model::{
    Cache, Call, CallOrder, Database, Distribution, HitRatio, RequestClass, ServiceDemand,
    ServiceLevel, StackModel, Tier, TierKind, TierVms, VmType, Volume,
};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_cluster_config::{ASSUMED_USD_PER_VCPU_HOUR, quoted};
use twinscale_protocol::{CustomerId, RequestClassName, TierName, VmTypeId, VolumeName};

/// Most tiers of a model.
const TIERS_MAX: usize = 64;
/// Stated for what requests come from outside, per second.
const OPEN_RATE_PER_S: f64 = 10.0;
/// Stated for what runs by itself, per second.
const OWN_RATE_PER_S: f64 = 1.0;
/// Stated for a container without a limit.
const VCPU: f64 = 1.0;
/// Stated for a container without a limit.
const MEMORY_GIB: f64 = 0.5;
/// Stated for a volume without a size.
const VOLUME_GIB: f64 = 10.0;
/// What a GiB of a volume is taken to cost for one hour: general-purpose block storage at $0.08 a month.
const ASSUMED_USD_PER_GIB_HOUR: f64 = 0.000_11;
/// Stated for a cache.
const HIT_RATIO: f64 = 0.8;
/// Stated for the share of reads of a database.
const READ_SHARE: f64 = 0.8;

/// Makes a model of a draft.
pub(crate) fn build(mut draft: Draft, customer: &CustomerId) -> Result<Imported, ImportError> {
    if let Some(beyond) = draft.tiers.get(TIERS_MAX) {
        return Err(ImportError::TooMuch {
            file: draft.file,
            line: beyond.line,
            limit: TIERS_MAX,
            what: "tiers",
        });
    }
    let calls = draft.calls();
    let mut builder = Builder::new(&mut draft, customer, calls);
    builder.classes();
    builder.tiers()?;
    builder.calls();
    builder.volumes();
    builder.general_gaps();
    let Builder { model, gaps, .. } = builder;
    let checked = model.check(&format!("the model of {}", draft.file))?;
    let toml = annotated(&checked.model, &draft.file, &gaps, &draft.notes);
    Ok(Imported {
        checked,
        toml,
        gaps,
        notes: draft.notes,
    })
}

struct Builder<'a> {
    draft: &'a mut Draft,
    model: StackModel,
    gaps: Vec<Gap>,
    /// Calls between tiers, by their places in the draft.
    calls: Vec<(usize, usize)>,
    names: Vec<TierName>,
    known: Vec<Option<&'static KnownImage>>,
    /// Places of the tiers that requests of each class come to.
    reached: BTreeMap<RequestClassName, BTreeSet<usize>>,
}

impl<'a> Builder<'a> {
    fn new(draft: &'a mut Draft, customer: &CustomerId, calls: Vec<(usize, usize)>) -> Self {
        let names = tier_names(&draft.tiers);
        let known: Vec<_> = draft
            .tiers
            .iter()
            .map(|tier| tier.image.as_deref().and_then(recognise))
            .collect();
        let mut builder = Self {
            draft,
            model: StackModel {
                customer: customer.clone(),
                rate_per_s: None,
                zones: Vec::new(),
                classes: BTreeMap::new(),
                vm_types: BTreeMap::new(),
                tiers: BTreeMap::new(),
                calls: Vec::new(),
                links: BTreeMap::new(),
                volumes: BTreeMap::new(),
                data_sets: BTreeMap::new(),
            },
            gaps: Vec::new(),
            calls,
            names,
            known,
            reached: BTreeMap::new(),
        };
        builder.turn_workers();
        builder
    }

    fn gap(&mut self, key: String, stated: Option<String>, hint: &'static str) {
        self.gaps.push(Gap { key, stated, hint });
    }

    fn kind(&self, at: usize) -> TierKind {
        let known = self.known.get(at).copied().flatten();
        known.map_or(TierKind::Service, |known| known.kind)
    }

    fn is_called(&self, at: usize) -> bool {
        self.calls.iter().any(|(_, to)| *to == at)
    }

    /// Who only takes from a queue is called by it: requests go with the messages.
    fn turn_workers(&mut self) {
        for at in 0..self.draft.tiers.len() {
            let is_open = self.draft.tiers.get(at).is_some_and(|tier| tier.is_open);
            if is_open || self.is_called(at) || self.kind(at) != TierKind::Service {
                continue;
            }
            let queue = self
                .calls
                .iter()
                .find(|(from, to)| {
                    let feeds = self.calls.iter().filter(|(_, other)| other == to).count();
                    *from == at && self.kind(*to) == TierKind::Queue && feeds > 1
                })
                .map(|(_, to)| *to);
            let Some(queue) = queue else {
                continue;
            };
            self.calls.retain(|call| *call != (at, queue));
            if reached(&self.calls, at).contains(&queue) {
                self.calls.push((at, queue));
            } else {
                self.calls.push((queue, at));
                let line = self.draft.tiers.get(at).map_or(0, |tier| tier.line);
                let text = format!(
                    "{} only takes from {}: taken to be called by it",
                    self.names.get(at).map_or("", TierName::as_str),
                    self.names.get(queue).map_or("", TierName::as_str),
                );
                self.draft.note(line, text);
            }
        }
    }

    /// One class for each tier that no other calls.
    fn classes(&mut self) {
        let roots: Vec<usize> = (0..self.draft.tiers.len())
            .filter(|at| !self.is_called(*at))
            .collect();
        for root in &roots {
            let (Some(entry), Some(tier)) = (self.names.get(*root), self.draft.tiers.get(*root))
            else {
                continue;
            };
            let text = if roots.len() == 1 {
                "requests"
            } else {
                entry.as_str()
            };
            let Ok(name) = RequestClassName::new(text) else {
                continue;
            };
            let rate = if tier.is_open {
                OPEN_RATE_PER_S
            } else {
                OWN_RATE_PER_S
            };
            let class = RequestClass {
                entry: entry.clone(),
                share: None,
                rate_per_s: Some(rate),
                arrival_scv: 1.0,
                request_bytes: 0.0,
                response_bytes: 0.0,
                price_per_request_usd: 0.0,
                sla: ServiceLevel::default(),
            };
            let path = format!("class.{}", quoted(name.as_str()));
            self.gap(
                format!("{path}.rate_per_s"),
                Some(rate.to_string()),
                "count requests at the entry over a busy hour",
            );
            self.gap(
                format!("{path}.sla"),
                None,
                "state p95_s or p99_s, and availability, as they were promised",
            );
            self.gap(
                format!("{path}.response_bytes"),
                Some("0".to_owned()),
                "the entry's access log has the bytes of its answers",
            );
            self.reached
                .insert(name.clone(), reached(&self.calls, *root));
            self.model.classes.insert(name, class);
        }
    }

    fn tiers(&mut self) -> Result<(), ImportError> {
        let drafts = self.draft.tiers.clone();
        for (at, draft) in drafts.iter().enumerate() {
            let Some(name) = self.names.get(at).cloned() else {
                continue;
            };
            let vm_type = VmTypeId::new(name.as_str()).map_err(|error| ImportError::Wrong {
                file: self.draft.file.clone(),
                line: draft.line,
                path: draft.name.clone(),
                found: error.to_string(),
                wanted: "a name",
            })?;
            let count = draft.count.unwrap_or(1);
            let path = format!("tier.{}", quoted(name.as_str()));
            if draft.count.is_none() {
                self.gap(
                    format!("{path}.vm[0].count"),
                    Some("1".to_owned()),
                    "count what runs",
                );
            }
            self.vm_type(&vm_type, draft);
            let known = self.known.get(at).copied().flatten();
            let kind = self.kind(at);
            let tier = Tier {
                kind,
                vms: vec![TierVms { vm_type, count }],
                zones: Vec::new(),
                workers_per_vm: None,
                waiting_max: None,
                holds_worker: false,
                overflow: Default::default(),
                balancer: Default::default(),
                demands: self.demands(at, &path, known),
                start_up_s: 0.0,
                warm_up_s: 0.0,
                warm_up_slowdown: 1.0,
                cache: (kind == TierKind::Cache).then(|| self.cache(&path)),
                database: known
                    .filter(|known| known.kind == TierKind::Database)
                    .map(|known| self.database(&path, known, count)),
            };
            self.gap(
                format!("{path}.start_up_s"),
                Some("0".to_owned()),
                "time a start until it answers",
            );
            self.model.tiers.insert(name, tier);
        }
        Ok(())
    }

    fn vm_type(&mut self, name: &VmTypeId, draft: &DraftTier) {
        let path = format!("vm_type.{}", quoted(name.as_str()));
        let vcpu = draft.vcpu.unwrap_or(VCPU).clamp(0.01, 1024.0);
        let memory_gib = draft.memory_gib.unwrap_or(MEMORY_GIB).clamp(0.001, 65536.0);
        if draft.vcpu.is_none() {
            self.gap(
                format!("{path}.vcpu"),
                Some(VCPU.to_string()),
                "state a CPU limit in the source, or the cores that it may use",
            );
        }
        if draft.memory_gib.is_none() {
            self.gap(
                format!("{path}.memory_gib"),
                Some(MEMORY_GIB.to_string()),
                "state a memory limit in the source, or what it may use",
            );
        }
        let price_per_hour_usd = (vcpu * ASSUMED_USD_PER_VCPU_HOUR * 1e6).round() / 1e6;
        self.gap(
            format!("{path}.price_per_hour_usd"),
            Some(price_per_hour_usd.to_string()),
            "its part of the price of the VM that it runs on",
        );
        self.gap(
            format!("{path}.network_baseline_mbps"),
            None,
            "the provider's page of the VM type has it",
        );
        let vm_type = VmType {
            vcpu,
            memory_gib,
            speed: 1.0,
            network_baseline_mbps: None,
            network_burst_mbps: None,
            price_per_hour_usd,
            price_assumed: true,
            free: false,
        };
        self.model.vm_types.insert(name.clone(), vm_type);
    }

    fn demands(
        &mut self,
        at: usize,
        path: &str,
        known: Option<&KnownImage>,
    ) -> BTreeMap<RequestClassName, ServiceDemand> {
        let mean_s = known.map_or(SERVICE_MEAN_S, |known| known.mean_s);
        let is_database = known.is_some_and(|known| known.kind == TierKind::Database);
        let classes: Vec<RequestClassName> = self
            .reached
            .iter()
            .filter(|(_, tiers)| tiers.contains(&at))
            .map(|(class, _)| class.clone())
            .collect();
        let mut demands = BTreeMap::new();
        for class in classes {
            let path = format!("{path}.demand.{}", quoted(class.as_str()));
            self.gap(
                format!("{path}.mean_s"),
                Some(mean_s.to_string()),
                "CPU seconds used by requests served, over a busy hour",
            );
            if is_database {
                self.gap(
                    format!("{path}.read_share"),
                    Some(READ_SHARE.to_string()),
                    "the database counts reads and writes",
                );
            }
            let demand = ServiceDemand {
                mean_s,
                distribution: Distribution::Exponential,
                scv: None,
                read_share: is_database.then_some(READ_SHARE),
                write_mean_s: None,
            };
            demands.insert(class, demand);
        }
        demands
    }

    fn cache(&mut self, path: &str) -> Cache {
        self.gap(
            format!("{path}.cache.hit.ratio"),
            Some(HIT_RATIO.to_string()),
            "the cache counts hits and misses; calls that only misses make get on_miss_of",
        );
        Cache {
            hit: HitRatio::Fixed { ratio: HIT_RATIO },
            data_sets: Vec::new(),
            memory_share: 0.75,
        }
    }

    fn database(&mut self, path: &str, known: &KnownImage, count: u32) -> Database {
        let path = format!("{path}.database");
        self.gap(
            format!("{path}.connections_max"),
            Some(known.connections_max.to_string()),
            "the image's own default unless its configuration says otherwise",
        );
        let read_replicas = count.saturating_sub(1);
        if read_replicas > 0 {
            self.gap(
                format!("{path}.read_replicas"),
                Some(read_replicas.to_string()),
                "how many of its servers take no writes",
            );
        }
        self.gap(
            format!("{path}.ios_per_read"),
            Some("0".to_owned()),
            "operations of the volume by reads served",
        );
        self.gap(
            format!("{path}.ios_per_write"),
            Some("0".to_owned()),
            "operations of the volume by writes served",
        );
        Database {
            connections_max: known.connections_max,
            read_replicas,
            ios_per_read: 0.0,
            ios_per_write: 0.0,
            io_bytes: 16384.0,
        }
    }

    fn calls(&mut self) {
        let mut calls = self.calls.clone();
        calls.sort_unstable();
        let places: Vec<(TierName, TierName)> = calls
            .into_iter()
            .filter_map(|(from, to)| {
                Some((self.names.get(from)?.clone(), self.names.get(to)?.clone()))
            })
            .collect();
        for (index, (from, to)) in places.into_iter().enumerate() {
            self.gap(
                format!("call[{index}].per_request"),
                Some("1".to_owned()),
                "calls by requests, from metrics or traces of both tiers",
            );
            self.model.calls.push(Call {
                from,
                to,
                classes: Vec::new(),
                per_request: 1.0,
                on_miss_of: None,
                order: CallOrder::Sequential,
                request_bytes: 0.0,
                response_bytes: 0.0,
                pool_size: None,
                timeout_s: None,
                retries_max: 0,
                retry_backoff_s: 0.05,
            });
        }
    }

    fn volumes(&mut self) {
        let drafts = self.draft.tiers.clone();
        for (at, draft) in drafts.iter().enumerate() {
            let Some(tier) = self.names.get(at).cloned() else {
                continue;
            };
            for volume in &draft.volumes {
                let alone = VolumeName::new(sanitised(&volume.name));
                let taken = |name: &VolumeName| self.model.volumes.contains_key(name);
                let name = match alone {
                    Ok(name) if !taken(&name) => name,
                    _ => {
                        let both = sanitised(&format!("{tier}-{}", volume.name));
                        match VolumeName::new(both) {
                            Ok(name) if !taken(&name) => name,
                            _ => continue,
                        }
                    }
                };
                let path = format!("volume.{}", quoted(name.as_str()));
                let capacity_gib = volume.capacity_gib.unwrap_or(VOLUME_GIB).clamp(0.001, 1e9);
                if volume.capacity_gib.is_none() {
                    self.gap(
                        format!("{path}.capacity_gib"),
                        Some(VOLUME_GIB.to_string()),
                        "the size of the disk that it is on",
                    );
                }
                let price_per_hour_usd =
                    (capacity_gib * ASSUMED_USD_PER_GIB_HOUR * 1e9).round() / 1e9;
                let price_per_hour_usd = price_per_hour_usd.max(1e-9);
                self.gap(
                    format!("{path}.price_per_hour_usd"),
                    Some(price_per_hour_usd.to_string()),
                    "the provider's price of the volume",
                );
                self.gap(
                    format!("{path}.iops_baseline"),
                    None,
                    "the provider's page of the volume type has it",
                );
                self.model.volumes.insert(
                    name,
                    Volume {
                        tier: tier.clone(),
                        capacity_gib,
                        iops_baseline: None,
                        iops_burst: None,
                        throughput_mb_per_s: None,
                        price_per_hour_usd,
                        price_assumed: true,
                        free: false,
                    },
                );
            }
        }
    }

    fn general_gaps(&mut self) {
        self.gap(
            "link".to_owned(),
            None,
            "bandwidth and latency between clients, tiers and zones",
        );
        if !self.model.volumes.is_empty() {
            self.gap(
                "data_set".to_owned(),
                None,
                "size and growth of what the volumes hold",
            );
        }
        self.gap("zones".to_owned(), None, "where its machines stand");
    }
}
