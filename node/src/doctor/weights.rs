//! What the weights that nodes serve mean for a cluster. Pure.

use super::Check;
use crate::weights::message::{NodeWeights, WeightsNodes};

/// Nodes that are named; more are counted.
const NAMED_MAX: usize = 3;

/// Judges what nodes serve: one that cannot follow serves other weights, and lends to nobody but its like.
pub fn judge(weights: &WeightsNodes) -> Check {
    let name = "weights";
    let all = weights.nodes.len();
    let astray: Vec<String> = weights.nodes.iter().filter_map(told).collect();
    let found = format!(
        "{} of {all} nodes serve what they should",
        all - astray.len()
    );
    if astray.is_empty() {
        return Check::passed(name, found);
    }
    let named = astray.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
    let more = match astray.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Check::warned(
        name,
        format!("{found}; {}{more}", named.join("; ")),
        "`twinscale weights show` tells how far they are; put the file again where nobody has it",
    )
}

fn told(node: &NodeWeights) -> Option<String> {
    if node.in_step && node.trouble.is_none() {
        return None;
    }
    let reason = node.trouble.as_deref().unwrap_or("it changes over");
    Some(format!("{}: {reason}", node.name))
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use twinscale_protocol::{NodeNumber, WeightsId};

    #[test]
    fn a_node_that_does_not_follow_is_named() {
        let id = || WeightsId::new("abc").expect("an id");
        let node = |number: u64, trouble: Option<&str>| NodeWeights {
            node: NodeNumber(number),
            name: format!("node-{number}"),
            serves: id(),
            shipped: id(),
            in_step: trouble.is_none(),
            trouble: trouble.map(str::to_owned),
            local: Vec::new(),
            fetching: None,
            shadow: None,
            tallies: Vec::new(),
        };
        let judged = |nodes| {
            judge(&WeightsNodes {
                nodes,
                silent: Vec::new(),
                comparison: None,
            })
        };
        let fine = judged(vec![node(1, None), node(2, None)]);
        assert_eq!(fine.outcome, Outcome::Passed);
        let astray = judged(vec![node(1, None), node(2, Some("they are not here"))]);
        assert_eq!(astray.outcome, Outcome::Warned);
        let wanted = "1 of 2 nodes serve what they should; node-2: they are not here";
        assert_eq!(astray.found, wanted);
    }
}
