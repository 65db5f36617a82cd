//! The way to a cluster: certificate, nodes, and what their answers mean for whoever asks.

use crate::error::ExpectedError;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use twinscale_cluster::admin::{AskError, ClusterClient, ReadReply, ReadRequest};
use twinscale_protocol::{NodeId, WireErrorCode};
use twinscale_wire::{CredentialFiles, Credentials, DefaultTimeProvider, Identity, WireSettings};

/// How the commands of a cluster reach it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(in crate::cli) struct ConnectArguments {
    /// Folder with the certificate of an operator or a viewer, as `twinscale ca issue` writes it.
    #[arg(long, value_name = "DIR", env = "TWINSCALE_CERTIFICATES")]
    certificates: PathBuf,
    /// A node to ask, by the name in its certificate; give several, which are tried in order.
    ///
    /// In the environment several are separated by commas. Any node will do: it sends on what only another
    /// one can answer.
    #[arg(
        long = "node",
        value_name = "NAME=HOST:PORT",
        env = "TWINSCALE_NODE",
        required = true,
        value_delimiter = ',',
        value_parser = parse_node
    )]
    nodes: Vec<(NodeId, String)>,
    /// How long a node may take to answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// Reads `NAME=HOST:PORT`.
pub(in crate::cli) fn parse_node(text: &str) -> Result<(NodeId, String), String> {
    let wanted = "write NAME=HOST:PORT, such as node-a=10.0.0.1:7900";
    let (name, address) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no node: {wanted}"))?;
    let name = NodeId::new(name).map_err(|error| format!("{error}; {wanted}"))?;
    let port = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty());
    let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none_or(|port| port == 0) {
        return Err(format!("`{address}` is no address: {wanted}"));
    }
    Ok((name, address.to_owned()))
}

/// A cluster that can be asked.
#[derive(Debug)]
pub(in crate::cli) struct Connection {
    pub(in crate::cli) client: ClusterClient,
    pub(in crate::cli) limit: Duration,
}

impl ConnectArguments {
    /// Reads the certificate and begins to connect.
    pub(in crate::cli) fn open(&self) -> Result<Connection, ExpectedError> {
        Connection::open(&self.certificates, self.nodes.clone(), self.timeout)
    }
}

impl Connection {
    pub(in crate::cli) fn open(
        certificates: &Path,
        nodes: Vec<(NodeId, String)>,
        timeout_s: u64,
    ) -> Result<Self, ExpectedError> {
        let files = CredentialFiles::in_dir(certificates);
        let credentials = Credentials::load(files, Arc::new(DefaultTimeProvider));
        let credentials = credentials.map_err(|error| {
            let folder = certificates.display();
            ExpectedError::Input {
                context: format!("the certificate in {folder} cannot be used"),
                hint: Some(
                    "issue one with `twinscale ca issue CA-DIR operator/NAME --out DIR` and give its folder \
                     with --certificates"
                        .to_owned(),
                ),
                source: Some(Box::new(error)),
            }
        })?;
        if let Identity::Node(name) = credentials.identity() {
            return Err(ExpectedError::input_hint(
                format!(
                    "the certificate in {} is that of node {name}",
                    certificates.display()
                ),
                "people ask with a certificate of their own: twinscale ca issue CA-DIR operator/NAME --out DIR",
            ));
        }
        Ok(Self {
            client: ClusterClient::connect(credentials, nodes, WireSettings::default()),
            limit: Duration::from_secs(timeout_s),
        })
    }

    pub(in crate::cli) async fn read(
        &self,
        request: ReadRequest,
    ) -> Result<ReadReply, ExpectedError> {
        let read = self.client.read(request, self.limit).await;
        read.map_err(|error| refused(&error, self.client.identity()))
    }
}

/// An answer of another kind than was asked for: the node is of another version.
pub(super) fn odd_answer(answer: &impl std::fmt::Debug) -> ExpectedError {
    let text: String = format!("{answer:?}").chars().take(80).collect();
    ExpectedError::Environment {
        context: format!("the node answered another question: {text}"),
        hint: "ask with the program of the node's version".to_owned(),
        source: None,
    }
}

/// What an error means for whoever asked.
pub(in crate::cli) fn refused(error: &AskError, asker: &Identity) -> ExpectedError {
    let context = match error {
        AskError::NoNode { tried } => {
            let lines: Vec<String> = tried.iter().map(|one| format!("\n  {one}")).collect();
            format!("no node of the cluster answers:{}", lines.concat())
        }
        other => other.to_string(),
    };
    let environment = |hint: &str| ExpectedError::Environment {
        context: context.clone(),
        hint: hint.to_owned(),
        source: None,
    };
    match error {
        AskError::NoNode { tried } if tried.iter().any(|one| one.is_refusal) => environment(
            "the certificate must be of the authority that the cluster trusts, and --node must give each node's \
             own name: `twinscale ca show DIR` tells whose certificate it is",
        ),
        AskError::NoNode { .. } => environment(
            "check the addresses (those for nodes, not of the API) and that a node runs, or name other nodes \
             with --node",
        ),
        AskError::OutcomeUnknown { .. } => environment(
            "it may have happened: look with `twinscale audit`, or give the command again, which does no harm",
        ),
        AskError::Malformed { .. } => environment("ask with the program of the node's version"),
        AskError::Answered { error, .. } => match error.code {
            WireErrorCode::PermissionDenied => ExpectedError::input_hint(
                context.clone(),
                format!(
                    "this asks as {asker}; only an operator may do it: issue a certificate with `twinscale ca \
                     issue CA-DIR operator/NAME --out DIR` and give its folder with --certificates"
                ),
            ),
            WireErrorCode::Conflict => ExpectedError::input_hint(
                context.clone(),
                "`twinscale members` and `twinscale shards` show how the cluster is",
            ),
            WireErrorCode::NotFound | WireErrorCode::Invalid => ExpectedError::input_hint(
                context.clone(),
                "`twinscale members`, `twinscale shards` and `twinscale twins ls` list what there is",
            ),
            WireErrorCode::OutcomeUnknown | WireErrorCode::Timeout => environment(
                "it may have happened: look with `twinscale audit`, or give the command again, which does no \
                 harm",
            ),
            _ => environment("try again in a moment, or ask another node with --node"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_cluster::admin::Tried;
    use twinscale_protocol::WireError;

    #[test]
    fn a_node_has_a_name_and_an_address() {
        let (name, address) = parse_node("node-a=10.0.0.1:7900").expect("it is one");
        assert_eq!((name.as_str(), &*address), ("node-a", "10.0.0.1:7900"));
        assert!(parse_node("a=[::1]:7900").is_ok());
        for wrong in [
            "", "a", "a=", "=h:1", "a=h", "a=h:0", "a=h:x", "a=:1", "a b=h:1",
        ] {
            let refused = parse_node(wrong).expect_err("refused");
            assert!(refused.contains("NAME=HOST:PORT"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn errors_say_what_helps() {
        let viewer = "viewer/vic".parse().expect("an identity");
        let node = NodeId::new("a").expect("an id");
        let denied = AskError::Answered {
            node: node.clone(),
            error: WireError::new(WireErrorCode::PermissionDenied, "viewer/vic may not"),
        };
        let shown = refused(&denied, &viewer);
        assert_eq!(shown.exit_code(), 3);
        let hint = shown.hint().expect("a hint");
        assert!(
            hint.contains("as viewer/vic") && hint.contains("operator/NAME"),
            "{hint}"
        );
        let tried = |is_refusal| AskError::NoNode {
            tried: vec![Tried {
                node: node.clone(),
                address: "h:1".to_owned(),
                reason: "it sleeps".to_owned(),
                is_refusal,
            }],
        };
        let shown = refused(&tried(false), &viewer);
        assert_eq!(shown.exit_code(), 4);
        assert!(
            shown.to_string().contains("\n  a=h:1: it sleeps"),
            "{shown}"
        );
        assert!(
            refused(&tried(true), &viewer)
                .hint()
                .expect("a hint")
                .contains("authority")
        );
    }
}
