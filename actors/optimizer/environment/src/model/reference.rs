//! Writes the reference page from the schema.

use crate::model::schema::{self, Node, Shape};
use serde_json::Value;
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Stack models

<!-- Generated: cargo run -q -p twinscale-environment --example stack -- reference > docs/reference/stack-model.md -->

One TOML file describes one customer's application stack: tiers of VMs and what a request costs there, calls
between them, caches, databases, links, volumes and data. A file is checked as a whole: every broken rule is
reported at once with its key, value and remedy, and unknown keys are refused. The same rules as a JSON schema:
[stack-model.schema.json](stack-model.schema.json). Examples ship in `samples/models/`.

`NAME` is a name of your choice; `[]` an entry of a list.

![samples/models/cached-site.toml, drawn](../images/stack.svg)

## What is refused, what is warned of

Besides the ranges below, a file is **refused** when:

- calls go in a circle (named tier by tier), or multiply to more than 10^9 visits of one request to a tier;
- a tier has no VM, no class reaches a tier, or a class comes to a tier without a `demand` there;
- a name stands for nothing: the nearest known one is suggested;
- the shares of classes do not sum to 1, or a class has neither a share nor a rate;
- a price is 0 without `free = true`: what costs nothing would be bought without end. A guess is marked
  `price_assumed = true` instead, and must be above 0;
- a higher quantile of an SLA is shorter than a lower one, a burst is below its baseline, an `scv` is not the
  distribution's, or data is larger than the volumes of its tier;
- read replicas leave no VM for writes.

It is **warned** of, and read all the same, when the stated load keeps a tier, link, volume or network
connection more than busy: `tier app: utilisation 1.32 at 120 requests/s: needs at least 11 VMs`. Such a
stack can be drawn and simulated, and queues in it grow for as long as the load lasts.

## How the load is computed

A class enters at its `entry` tier. Each visit to a tier makes `per_request` calls of each `[[call]]` from
there, times the share of look-ups that the cache in `on_miss_of` does not answer. Utilisation of a tier is the
sum over classes of arrivals times `mean_s`, by its usable cores: for each VM the smaller of `vcpu` and
`workers_per_vm`, times `speed`. With `random` and `round-robin` each VM gets as many requests as any other,
with the other balancers by its cores. In a database the last `read_replicas` of the listed VMs are replicas;
writes go to the others, reads to all. Each volume of a database does every write and its VM's share of the
reads. VMs are spread evenly over zones, so that a call between tiers in the same two zones crosses from the
first zone to the second for a quarter of the requests.
";

/// What stands in a section, and how its table is written.
const SECTIONS: &[(&str, &str)] = &[
    ("class", "`[class.NAME]`"),
    ("vm_type", "`[vm_type.NAME]`"),
    ("tier", "`[tier.NAME]`"),
    ("call", "`[[call]]`"),
    ("link", "`[link.NAME]`"),
    ("volume", "`[volume.NAME]`"),
    ("data_set", "`[data_set.NAME]`"),
];

/// Writes the reference page of model files in Markdown.
#[must_use]
pub fn model_reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let root = schema::root();
    page.push_str("\n## The stack\n");
    heading(&mut page);
    for (name, key) in schema::properties(root) {
        let is_section = SECTIONS.iter().any(|(section, _)| *section == name);
        if !is_section {
            rows(&mut page, root, name, key, name);
        }
    }
    for (section, title) in SECTIONS {
        let Some((_, key)) = schema::properties(root).find(|(name, _)| name == section) else {
            continue;
        };
        let meaning = schema::text(key, "description").unwrap_or_default();
        put(&mut page, format_args!("\n## {title}\n\n{meaning}\n"));
        heading(&mut page);
        let entry = match schema::shape(key) {
            Shape::Names { entry, .. } => entry,
            Shape::List { item } => item,
            _ => key,
        };
        for (name, key) in schema::properties(entry) {
            rows(&mut page, entry, name, key, name);
        }
    }
    page
}

fn heading(page: &mut String) {
    page.push_str("\n| key | holds | default | example | meaning |\n|---|---|---|---|---|\n");
}

/// Writes the row of a key, or the rows of all keys below it.
fn rows(page: &mut String, table: &'static Node, name: &str, key: &'static Node, path: &str) {
    match schema::shape(key) {
        Shape::Table => below(page, key, path),
        Shape::Names { entry, .. } => below(page, entry, &format!("{path}.NAME")),
        Shape::List { item } if schema::properties(item).next().is_some() => {
            below(page, item, &format!("{path}[]"));
        }
        Shape::Tagged { tag, alternatives } => {
            for word in schema::words(alternatives, Some(tag)) {
                let Some(chosen) = schema::alternative(alternatives, Some(tag), word) else {
                    continue;
                };
                let meaning = schema::text(chosen, "description").unwrap_or_default();
                put(
                    page,
                    format_args!(
                        "| `{path}.{tag}` | \"{word}\" | needed | `{word:?}` | {meaning} |\n"
                    ),
                );
                for (name, key) in schema::properties(chosen).filter(|(name, _)| *name != tag) {
                    rows(page, chosen, name, key, &format!("{path}.{name}"));
                }
            }
        }
        _ => row(page, table, name, key, path),
    }
}

fn below(page: &mut String, table: &'static Node, path: &str) {
    for (name, key) in schema::properties(table) {
        rows(page, table, name, key, &format!("{path}.{name}"));
    }
}

fn row(page: &mut String, table: &'static Node, name: &str, key: &'static Node, path: &str) {
    let is_needed = schema::required(table).any(|required| required == name);
    let default = match key.get("default") {
        _ if is_needed => "needed".to_owned(),
        Some(Value::Null) | None => "none".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let example = schema::example(key)
        .map(Value::to_string)
        .unwrap_or_default();
    let mut meaning = schema::text(key, "description")
        .unwrap_or_default()
        .to_owned();
    if let Shape::Word { alternatives } = schema::shape(key) {
        for alternative in alternatives.iter().map(schema::node) {
            let word = schema::text(alternative, "const").unwrap_or_default();
            let means = schema::text(alternative, "description").unwrap_or_default();
            put(&mut meaning, format_args!(" `{word}`: {means}"));
        }
    }
    let holds = schema::describe(key);
    put(
        page,
        format_args!("| `{path}` | {holds} | {default} | `{example}` | {meaning} |\n"),
    );
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes all text");
}
