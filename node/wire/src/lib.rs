//! Calls and streams between the nodes of a cluster, each end known by its certificate.
//!
//! Purpose: gRPC over mutually authenticated TLS 1.3. A body is always an [`Envelope`]; what its kind
//! means is the business of the [`Handler`]. Invariants: a handler is called only for a caller whose
//! certificate was verified, is of this cluster, and names who the caller says it is; every call has a
//! deadline; calls, their bytes and streams under way have a limit per peer, and what is over it is
//! refused, not queued; a refusal is counted by its reason and its text names the remedy.
//!
//! It routes nothing and retries nothing that a peer may have seen: that is for who knows what a call
//! means. [`ca`] makes certificates for development; production brings its own.

pub mod ca;

mod admission;
mod codec;
mod credentials;
mod envelope;
mod error;
mod handler;
mod headers;
mod hello;
mod identity;
mod metrics;
mod peers;
mod recorded;
mod refusal;
mod server;
mod settings;
mod status;
mod task;
mod trace;

pub use credentials::{CredentialError, CredentialFiles, Credentials, Expiry, ExpiryLevel};
pub use envelope::{ENVELOPE_BYTES_MAX, Envelope};
pub use error::CallError;
pub use handler::{Call, Handler, Inbound, Replies, StreamCall};
pub use identity::{Identity, IdentityError, Role};
pub use metrics::{ANSWERED, LATENCY_BOUNDS_US, WireCounts, WireMetrics, WireObserver};
pub use peers::{Addresses, CallOptions, PeerState, PeerStatus, Peers, ReplyStream, StreamOptions};
pub use refusal::{Refusal, RefusalReason};
pub use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
pub use server::{Drained, ServeError, Server};
pub use settings::WireSettings;
pub use task::Task;
pub use trace::{ParseTraceError, TraceContext};
