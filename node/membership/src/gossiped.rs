//! What a member tells the others: four typed documents, each under a key that names its version.
//!
//! A document never changes in place: a new form gets a new key, written beside the old one until no old
//! reader is left; readers ignore keys and fields that they do not know. Who a member is, its state, its
//! load and what it leads are apart, because they change at different times and only what changed is sent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use twinscale_protocol::NodeId;

use crate::error::PublishError;
use crate::limits::{ENDPOINT_BYTES_MAX, LEADS_MAX, TEXT_CHARS_MAX, VALUE_BYTES_MAX};

pub(crate) const IDENTITY_KEY: &str = "identity/1";
pub(crate) const STATE_KEY: &str = "state/1";
pub(crate) const LOAD_KEY: &str = "load/1";
pub(crate) const LEADS_KEY: &str = "leads/1";

/// An address that a member advertises: `host:port`, where the host is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(String);

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address `{0}` is not valid: use host:port with a port from 1 to 65535")]
pub struct EndpointError(pub String);

impl Endpoint {
    /// Checks a text and makes an endpoint of it.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(text: impl Into<String>) -> Result<Self, EndpointError> {
        let text = text.into();
        let parts = text.rsplit_once(':');
        let valid = parts.is_some_and(|(host, port)| {
            let plain = |one: char| one.is_ascii_graphic();
            let port = port.parse::<u16>().unwrap_or(0);
            !host.is_empty() && host.chars().all(plain) && port > 0
        });
        if valid && text.len() <= ENDPOINT_BYTES_MAX {
            Ok(Self(text))
        } else {
            Err(EndpointError(cut(&text)))
        }
    }

    /// Reads the endpoint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0
    }
}

/// Stored and sent formats that a member can read; it writes what the cluster's version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRange {
    /// The oldest that it reads.
    pub oldest: u32,
    /// The newest that it reads; not below `oldest`.
    pub newest: u32,
}

/// Who a member is; the same for a whole incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the node, for people.
    pub name: NodeId,
    /// Where other nodes reach it.
    pub peer: Endpoint,
    /// Where clients reach its HTTP API.
    pub api: Endpoint,
    /// Version of its software, such as `0.1.0`.
    pub software: String,
    /// Formats that it reads.
    pub schema: SchemaRange,
    /// Where it stands, for placement; up to [`TEXT_CHARS_MAX`] characters.
    pub zone: String,
}

/// How busy a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Twins alive on it.
    pub twins: u32,
    /// Share of its processors in use, in thousandths: 1000 is all of them.
    pub cpu_per_mille: u32,
    /// Time of a batch to reach its log's disk, in microseconds, as it measures it.
    pub log_latency_us: u32,
}

/// What a member does just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum MemberState {
    /// It has started and takes no shards yet.
    Joining,
    /// It serves.
    Serving,
    /// It gives its shards away.
    Draining,
    /// It cannot serve.
    NotReady {
        /// Why not, and what would help; cut to [`TEXT_CHARS_MAX`] characters.
        why: String,
    },
    /// It left on purpose: it did not fail.
    Left,
}

/// All that a member told, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) identity: Option<Identity>,
    pub(crate) state: Option<MemberState>,
    pub(crate) load: Option<Load>,
    /// Shard and term.
    pub(crate) leads: BTreeMap<u32, u64>,
    /// What cannot be read, and why.
    pub(crate) unreadable: Vec<String>,
}

impl Document {
    pub(crate) fn decode<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut document = Self::default();
        for (key, value) in values {
            let read = match key {
                IDENTITY_KEY => decode_identity(value).map(|one| document.identity = Some(one)),
                STATE_KEY => decode_json(value).map(|one| document.state = Some(one)),
                LOAD_KEY => decode_json(value).map(|one| document.load = Some(one)),
                LEADS_KEY => decode_leads(value).map(|one| document.leads = one),
                _ => Ok(()),
            };
            if let Err(why) = read {
                document.unreadable.push(format!("{key}: {}", cut(&why)));
            }
        }
        document
    }

    pub(crate) fn has_left(&self) -> bool {
        self.state == Some(MemberState::Left)
    }
}

pub(crate) fn encode_identity(identity: &Identity) -> Result<String, PublishError> {
    check_identity(identity).map_err(|what| PublishError::Identity { what })?;
    encode_json(IDENTITY_KEY, identity)
}

pub(crate) fn encode_state(state: &MemberState) -> Result<String, PublishError> {
    let state = match state {
        MemberState::NotReady { why } => MemberState::NotReady { why: cut(why) },
        other => other.clone(),
    };
    encode_json(STATE_KEY, &state)
}

pub(crate) fn encode_load(load: &Load) -> Result<String, PublishError> {
    encode_json(LOAD_KEY, load)
}

/// Writes `shard:term` pairs with a blank between, in order of shards.
pub(crate) fn encode_leads(leads: &BTreeMap<u32, u64>) -> Result<String, PublishError> {
    if leads.len() > LEADS_MAX {
        return Err(PublishError::TooManyLeads { count: leads.len() });
    }
    let pairs: Vec<String> = leads
        .iter()
        .map(|(shard, term)| format!("{shard}:{term}"))
        .collect();
    fitting(LEADS_KEY, pairs.join(" "))
}

fn decode_leads(text: &str) -> Result<BTreeMap<u32, u64>, String> {
    let mut leads = BTreeMap::new();
    for pair in text.split_whitespace() {
        let parts = pair.split_once(':');
        let parsed =
            parts.and_then(|(shard, term)| Some((shard.parse().ok()?, term.parse().ok()?)));
        let (shard, term) = parsed.ok_or_else(|| format!("`{pair}` is not shard:term"))?;
        leads.insert(shard, term);
        if leads.len() > LEADS_MAX {
            return Err(format!("more than {LEADS_MAX} shards"));
        }
    }
    Ok(leads)
}

fn decode_identity(text: &str) -> Result<Identity, String> {
    let identity = decode_json(text)?;
    check_identity(&identity)?;
    Ok(identity)
}

fn check_identity(identity: &Identity) -> Result<(), String> {
    let schema = identity.schema;
    if schema.oldest > schema.newest {
        return Err(format!(
            "schema range {} to {} is empty",
            schema.oldest, schema.newest
        ));
    }
    for (what, text) in [("zone", &identity.zone), ("software", &identity.software)] {
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(format!("{what} is longer than {TEXT_CHARS_MAX} characters"));
        }
    }
    Ok(())
}

fn encode_json<T: Serialize>(key: &'static str, value: &T) -> Result<String, PublishError> {
    let text =
        serde_json::to_string(value).map_err(|source| PublishError::Encode { key, source })?;
    fitting(key, text)
}

fn decode_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn fitting(key: &'static str, text: String) -> Result<String, PublishError> {
    if text.len() > VALUE_BYTES_MAX {
        let bytes = text.len();
        return Err(PublishError::TooLarge { key, bytes });
    }
    Ok(text)
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
