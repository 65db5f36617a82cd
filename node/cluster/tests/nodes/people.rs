//! What people ask of nodes, and waits for answers.

use crate::harness::{DEADLINE, Nodes, name_of, wire};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use twinscale_cluster::admin::{
    AskError, AuditReply, ClusterClient, MembersReply, ReadReply, ReadRequest, ShardsReply,
    Standing, Task, WriteReply, WriteRequest,
};
use twinscale_protocol::WireErrorCode;
use twinscale_wire::ca::{CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{Credentials, DefaultTimeProvider};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn connect(
    nodes: &Nodes,
    ca: &CertificateAuthority,
    who: &str,
    to: &[u64],
) -> ClusterClient {
    let folder = tempfile::tempdir().expect("a folder");
    let identity = who.parse().expect("an identity");
    let files = ca.issue(&identity, CERTIFICATE_VALIDITY, folder.path());
    let time = Arc::new(DefaultTimeProvider);
    let credentials = Credentials::load(files.expect("issued"), time).expect("valid");
    let to = to.iter().map(|number| {
        let address = nodes.addresses[number].to_string();
        (name_of(*number), address)
    });
    ClusterClient::connect(credentials, to.collect(), wire())
}

pub(crate) fn client(nodes: &Nodes, who: &str, to: &[u64]) -> ClusterClient {
    connect(nodes, &nodes.ca, who, to)
}

pub(crate) async fn members(client: &ClusterClient) -> MembersReply {
    match client.read(ReadRequest::Members, LIMIT).await {
        Ok(ReadReply::Members(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn shards(client: &ClusterClient) -> ShardsReply {
    match client.read(ReadRequest::Shards { only: None }, LIMIT).await {
        Ok(ReadReply::Shards(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn audit(client: &ClusterClient) -> AuditReply {
    match client
        .read(ReadRequest::Audit { at_most: 100 }, LIMIT)
        .await
    {
        Ok(ReadReply::Audit(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn write(client: &ClusterClient, request: WriteRequest) -> WriteReply {
    let written = client.write(request.clone(), LIMIT).await;
    written.unwrap_or_else(|error| panic!("{request:?}: {error}"))
}

/// The code and the text of a refusal.
pub(crate) async fn refusal(
    client: &ClusterClient,
    request: WriteRequest,
) -> (WireErrorCode, String) {
    match client.write(request, LIMIT).await {
        Err(AskError::Answered { error, .. }) => (error.code, error.message),
        other => panic!("{other:?}"),
    }
}

/// Asks until an answer is as wanted.
pub(crate) async fn until<T: fmt::Debug + Send, F: Future<Output = T> + Send>(
    ask: impl Fn() -> F + Send + Sync,
    wanted: impl Fn(&T) -> bool + Send + Sync,
) -> T {
    let mut last = None;
    let asked = async {
        loop {
            let answer = ask().await;
            if wanted(&answer) {
                return answer;
            }
            last = Some(answer);
            sleep(Duration::from_millis(100)).await;
        }
    };
    let ended = timeout(DEADLINE, asked).await;
    ended.unwrap_or_else(|_late| panic!("not so within {DEADLINE:?}: {last:#?}"))
}

pub(crate) async fn to_its_end(client: &ClusterClient, task: Task) -> Standing {
    let ask = || async {
        match client
            .read(ReadRequest::Standing(task.clone()), LIMIT)
            .await
        {
            Ok(ReadReply::Standing(standing)) => standing,
            other => panic!("{other:?}"),
        }
    };
    until(ask, |standing| {
        standing.is_over || standing.failed.is_some()
    })
    .await
}
