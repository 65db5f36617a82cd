//! What a file says of a stack, before it is a model.

use crate::import::graph::reached;
use std::collections::BTreeMap;

/// A stack as a file has it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) file: String,
    /// In the order of the file.
    pub(crate) tiers: Vec<DraftTier>,
    /// What was left off or taken for granted, with its line.
    pub(crate) notes: Vec<String>,
}

/// What becomes a tier.
#[derive(Clone, Debug, Default)]
pub(crate) struct DraftTier {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) image: Option<String>,
    /// How many of it run, where the file says so.
    pub(crate) count: Option<u32>,
    pub(crate) vcpu: Option<f64>,
    pub(crate) memory_gib: Option<f64>,
    pub(crate) volumes: Vec<DraftVolume>,
    /// It takes requests from outside.
    pub(crate) is_open: bool,
    /// Variables and arguments, each a name (empty for an argument) and a value.
    pub(crate) values: Vec<(String, String)>,
    /// Whom it surely talks to: an Ingress' backend, a link.
    pub(crate) calls: Vec<DraftCall>,
}

/// A volume of each of a tier's servers.
#[derive(Clone, Debug)]
pub(crate) struct DraftVolume {
    pub(crate) name: String,
    pub(crate) capacity_gib: Option<f64>,
}

/// A call to another tier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DraftCall {
    pub(crate) strength: Strength,
    pub(crate) to: String,
    pub(crate) line: usize,
}

/// How sure it is that a call is made; the surest first, because a call that closes a circle is left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// The file says so: a link, a backend.
    Stated,
    /// One must run before the other.
    Depends,
    /// A variable or argument names the other.
    Named,
}

impl Draft {
    pub(crate) fn note(&mut self, line: usize, text: impl std::fmt::Display) {
        self.notes.push(format!("{}:{line}: {text}", self.file));
    }

    /// Reads the calls of all tiers as pairs of their places, without circles, in the order of the file.
    pub(crate) fn calls(&mut self) -> Vec<(usize, usize)> {
        let place: BTreeMap<&str, usize> = self
            .tiers
            .iter()
            .enumerate()
            .map(|(index, tier)| (tier.name.as_str(), index))
            .collect();
        let mut wanted: Vec<(Strength, usize, usize, usize)> = Vec::new();
        for (from, tier) in self.tiers.iter().enumerate() {
            for call in &tier.calls {
                if let Some(to) = place.get(call.to.as_str()).filter(|to| **to != from) {
                    wanted.push((call.strength, from, *to, call.line));
                }
            }
        }
        // By how sure they are, then as in the file.
        wanted.sort_by_key(|(strength, ..)| *strength);
        let mut calls: Vec<(usize, usize)> = Vec::new();
        let mut notes = Vec::new();
        for (_, from, to, line) in wanted {
            if calls.contains(&(from, to)) {
                continue;
            }
            if reached(&calls, to).contains(&from) {
                notes.push((line, from, to));
            } else {
                calls.push((from, to));
            }
        }
        for (line, from, to) in notes {
            let name = |at: usize| self.tiers.get(at).map_or("", |tier| tier.name.as_str());
            let text = format!(
                "{} names {}, which calls it: taken for an address, not for a call back",
                name(from),
                name(to)
            );
            self.note(line, text);
        }
        calls.sort_unstable();
        calls
    }
}
