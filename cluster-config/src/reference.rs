//! Writes the reference page of all keys from their registry.

use crate::keys::{
    CLUSTER_KEYS, FORECASTER_KEYS, KeySpec, NODE_KEYS, POLICY_KEYS, STACK_KEYS, TIER_DEFAULT_KEYS,
    VM_TYPE_KEYS,
};
use crate::shape::describe;
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Generated: cargo run -q -p twinscale-cluster-config --example reference > docs/reference/config.md -->

Three TOML files, all optional: *policies* say what customers want, *stacks* say what serves them, a
*node* file says how one node runs. A file is checked as a whole: every broken rule is reported at once
with its key, value and remedy, and unknown keys are refused. Examples ship in `samples/config/`.

`NAME` is a name of your choice. A table under `[customer.NAME]` lies on top of `[default]`, key by
key; a customer that a file does not name has the default.
";

/// Writes the page in Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    section(
        &mut page,
        "Policies: `[default]` and `[customer.NAME]`",
        "What a customer wants: service level, money, guardrails, and what one VM can do.",
        POLICY_KEYS,
    );
    section(
        &mut page,
        "Stacks: `[default]` and `[customer.NAME]`",
        "What serves a customer. A tier may also say each key of `[tier_defaults]`, and each entry of \
         its `vm_type` list each key of `[vm_type.NAME]`. A customer that no stack file describes gets \
         one tier per VM type of its trace that has a demand metric, served by that VM type.",
        STACK_KEYS,
    );
    section(
        &mut page,
        "Stacks: `[tier_defaults]`",
        "What holds for tiers that say nothing else, derived ones included.",
        TIER_DEFAULT_KEYS,
    );
    section(
        &mut page,
        "Stacks: `[vm_type.NAME]`",
        "Facts about a VM type, for every tier that names it. Quote names with a dot: \
         `[vm_type.\"m5.large\"]`. A VM type without a price is taken to cost $0.048 per vCPU and hour, \
         and reports say so.",
        VM_TYPE_KEYS,
    );
    section(
        &mut page,
        "Nodes: `[node]`",
        "How one node runs.",
        NODE_KEYS,
    );
    section(
        &mut page,
        "Nodes: `[forecaster]`",
        "How weights are compared and trained further in a cluster. The node that leads group 0 goes by its \
         own file: give all nodes the same.",
        FORECASTER_KEYS,
    );
    section(
        &mut page,
        "Nodes: `[cluster]`",
        "How a node works with others. A node without this table is alone.",
        CLUSTER_KEYS,
    );
    page
}

fn section(page: &mut String, title: &str, text: &str, specs: &[KeySpec]) {
    let written = write!(
        page,
        "\n## {title}\n\n{text}\n\n| key | holds | default | example | meaning |\n|---|---|---|---|---|\n"
    );
    debug_assert!(written.is_ok(), "a String takes all text");
    for spec in specs {
        let default = spec
            .default
            .map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
        let path = spec.path.replace('*', "NAME");
        let row = writeln!(
            page,
            "| `{path}` | {} | {default} | `{}` | {} |",
            describe(spec.kind),
            spec.example,
            spec.meaning
        );
        debug_assert!(row.is_ok(), "a String takes all text");
    }
}
