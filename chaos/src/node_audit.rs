//! Looks at a node after a replay: are all acknowledged samples there once, and does the provider's
//! ledger agree with what the twins committed.

use std::collections::{BTreeMap, BTreeSet};

use twinscale::assembly::Node;
use twinscale::workload::ReplayCustomer;
use twinscale_protocol::provisioner::Action;
use twinscale_protocol::{DomainTime, Sample, Seconds, SeriesKey, VmId};
use twinscale_provisioner::SimCloud;
use twinscale_provisioner::check::{check_generations, check_keys, check_settled, check_sizes};
use twinscale_twin::TwinState;
use twinscale_twin::cycle::reconcile_request;
use twinscale_twin::limits::NEWEST_TIME;
use twinscale_twin::observations::Resolution;

/// Says what is wrong with each customer of a node; empty when nothing is.
pub(crate) fn audit_node(node: &Node, customers: &[ReplayCustomer]) -> Vec<String> {
    let Some(cloud) = node.cloud() else {
        return vec!["the node has no simulated cloud of its own to look into".to_owned()];
    };
    let mut violations = Vec::new();
    for one in customers {
        let name = &one.customer;
        let found = node.twins().read(name, |twin| {
            let mut found = audit_samples(one, twin);
            cloud.with_cloud(|cloud| found.extend(audit_ledger(one, twin, cloud)));
            found
        });
        let found = found.unwrap_or_else(|| vec!["its twin is not there".to_owned()]);
        violations.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    violations
}

/// Every sample that the replay ingested must be there once, with its value, and nothing else.
fn audit_samples(one: &ReplayCustomer, twin: &TwinState) -> Vec<String> {
    let oldest = one.first_step_at.minus(one.policy.retention.raw);
    let kept = one.history.iter().filter(|sample| sample.at >= oldest);
    let ingested: Vec<&Sample> = kept.chain(one.steps.iter().flatten()).collect();
    let mut expected: BTreeMap<&SeriesKey, BTreeMap<DomainTime, i128>> = BTreeMap::new();
    for sample in &ingested {
        let series = expected.entry(&sample.series).or_default();
        series.insert(sample.at, i128::from(sample.value.0));
    }
    let mut violations = Vec::new();
    for (series, expected) in &expected {
        let slots = twin.observations(series, Resolution::Raw, DomainTime(0), NEWEST_TIME);
        let found: BTreeMap<DomainTime, i128> =
            slots.iter().map(|slot| (slot.at, slot.sum)).collect();
        // Retention may have dropped old samples on the way, never one that is newer than its limit.
        let limit = one.end().minus(one.policy.retention.raw);
        let lost = expected
            .iter()
            .filter(|(at, value)| **at >= limit && found.get(at) != Some(value))
            .count();
        let doubled =
            slots.iter().filter(|slot| slot.count != 1).count() + slots.len() - found.len();
        let foreign = found.keys().filter(|at| !expected.contains_key(at)).count();
        if lost + doubled + foreign > 0 {
            violations.push(format!(
                "series {series}: {lost} samples lost or altered, {doubled} doubled, {foreign} foreign"
            ));
        }
    }
    let counted = twin.counters().samples;
    if counted != ingested.len() as u64 {
        violations.push(format!(
            "{counted} samples counted, {} ingested",
            ingested.len()
        ));
    }
    violations
}

/// The provider's books against what the twin committed.
fn audit_ledger(one: &ReplayCustomer, twin: &TwinState, cloud: &SimCloud) -> Vec<String> {
    let name = &one.customer;
    let Some(ledger) = cloud.ledger(name) else {
        return vec!["the provider has no ledger of it".to_owned()];
    };
    let counters = twin.counters();
    let opened = twin
        .open_intents()
        .filter_map(|intent| match &intent.action {
            Action::Launch { vm, .. } => Some(*vm),
            _ => None,
        });
    let opened: BTreeSet<VmId> = opened.collect();
    // Identities are given out in order, so those below the count of launches were committed.
    let committed: BTreeSet<VmId> = (1..=counters.launches + counters.refused_intents)
        .map(VmId)
        .chain(opened.iter().copied())
        .collect();
    let mut violations = check_keys(name, ledger, &committed);
    violations.extend(check_generations(name, ledger));
    // Just before the end: the samples of the last step ask for nothing yet.
    let at = one.end().minus(Seconds(1));
    if let Some(request) = reconcile_request(twin, at, false) {
        let observed = twin.observed().vms.iter().map(|vm| vm.vm);
        let known: BTreeSet<VmId> = observed.chain(opened.iter().copied()).collect();
        violations.extend(check_settled(name, ledger, (&request.desired, &known), at));
        let allocation = cloud.allocation(name, at);
        violations.extend(check_sizes(name, &allocation, &request.desired));
    }
    let mut texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let started = ledger.vms().len() as u64;
    if opened.is_empty() && started != counters.launches {
        texts.push(format!(
            "{started} VMs were started, the twin launched {}",
            counters.launches
        ));
    }
    texts
}
