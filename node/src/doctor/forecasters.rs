//! What the forecasters of the nodes of a cluster mean for its twins. Pure.

use super::Check;
use crate::cluster::commands::message::{ActorLine, ActorState, ActorsReply};

/// Forecasters that are named; more are counted.
const NAMED_MAX: usize = 3;

/// Judges the forecasters of a cluster: a node whose own cannot forecast borrows from the others.
pub fn judge(forecasters: &ActorsReply) -> Check {
    let name = "forecasters";
    let lines = forecasters.nodes.iter();
    let all: Vec<(&str, &ActorLine)> = lines
        .flat_map(|node| node.actors.iter().map(|actor| (node.name.as_str(), actor)))
        .collect();
    let unfit: Vec<String> = all
        .iter()
        .filter_map(|(node, line)| told(node, line))
        .collect();
    let found = format!("{} of {} forecast", all.len() - unfit.len(), all.len());
    if unfit.is_empty() {
        return Check::passed(name, found);
    }
    let named = unfit.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
    let more = match unfit.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let found = format!("{found}; {}{more}", named.join("; "));
    let remedy = "resume one that is paused: twinscale actors resume forecaster --on NODE; restart the node of one \
                  that was given up";
    if unfit.len() == all.len() {
        Check::failed(
            name,
            format!("{found}: twins keep their last plans"),
            remedy,
        )
    } else {
        Check::warned(name, found, remedy)
    }
}

fn told(node: &str, line: &ActorLine) -> Option<String> {
    let state = match line.state {
        // It may have failed just now, of which it tells.
        ActorState::Running => None,
        ActorState::Paused => Some("paused"),
        ActorState::Restarting => Some("restarting"),
        ActorState::GivenUp => Some("given up"),
    };
    let reason = line.reason.as_deref().or(state)?;
    Some(format!("{node}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use crate::cluster::commands::message::NodeActors;
    use twinscale_protocol::NodeNumber;

    fn node(number: u64, state: ActorState, reason: Option<&str>) -> NodeActors {
        NodeActors {
            node: NodeNumber(number),
            name: format!("node-{number}"),
            actors: vec![ActorLine {
                actor: "forecaster".to_owned(),
                state,
                reason: reason.map(str::to_owned),
                incarnation: None,
                restarts: 0,
                mailbox: 0,
                mailbox_max: 1,
                paused_for_ms: None,
            }],
            twins: 0,
            twins_left_out: 0,
        }
    }

    fn judged(nodes: Vec<NodeActors>) -> (Outcome, String) {
        let silent = Vec::new();
        let check = judge(&ActorsReply { nodes, silent });
        (check.outcome, check.found)
    }

    #[test]
    fn a_cluster_without_any_forecaster_is_not_sound() {
        let fine = || node(1, ActorState::Running, None);
        let (outcome, found) = judged(vec![fine(), fine()]);
        assert_eq!((outcome, &*found), (Outcome::Passed, "2 of 2 forecast"));
        let hung = || node(2, ActorState::Running, Some("it hung"));
        let (outcome, found) = judged(vec![fine(), hung()]);
        let wanted = "1 of 2 forecast; node-2: it hung";
        assert_eq!((outcome, &*found), (Outcome::Warned, wanted));
        let paused = node(3, ActorState::Paused, None);
        let (outcome, found) = judged(vec![hung(), paused]);
        assert_eq!(outcome, Outcome::Failed);
        assert!(found.contains("node-3: paused"), "{found}");
    }
}
