//! Which number has which name, and where it listens.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use twinscale_protocol::{NodeId, NodeNumber};
use twinscale_wire::Addresses;

/// A node as the wire knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// The name in its certificate.
    pub name: NodeId,
    /// Where it listens for other nodes, as `host:port`.
    pub address: String,
}

/// Which number has which name, and where it listens; shared by all that call or answer.
///
/// Several numbers may have one name: a node that lost its disk comes back under a new number, and its old
/// one has no address any more.
#[derive(Debug, Default)]
pub struct Directory {
    sources: Mutex<Sources>,
    nodes: watch::Sender<BTreeMap<NodeNumber, NodePlace>>,
    addresses: watch::Sender<Addresses>,
}

/// Where nodes are known from.
#[derive(Debug, Default)]
struct Sources {
    /// The state of group 0 on this node.
    group_0: BTreeMap<NodeNumber, NodePlace>,
    /// What another node told: this one's state of group 0 may be behind, and whoever leads group 0 now may
    /// have joined since.
    others: BTreeMap<NodeNumber, NodePlace>,
}

impl Directory {
    /// Takes the nodes that there are now, as group 0 says.
    pub fn set(&self, nodes: BTreeMap<NodeNumber, NodePlace>) {
        let mut sources = self.sources();
        sources.group_0 = nodes;
        self.show(&sources);
    }

    /// Takes nodes that another one told of, beside those that group 0 says: of these it knows better.
    pub fn add(&self, nodes: BTreeMap<NodeNumber, NodePlace>) {
        let mut sources = self.sources();
        sources.others.extend(nodes);
        self.show(&sources);
    }

    fn show(&self, sources: &Sources) {
        let mut nodes = sources.others.clone();
        nodes.extend(sources.group_0.clone());
        // In order of numbers, so that the newest number of a name has its address.
        let addresses: Addresses = nodes
            .values()
            .map(|place| (place.name.clone(), place.address.clone()))
            .collect();
        self.nodes.send_replace(nodes);
        self.addresses.send_if_modified(|known| {
            let is_new = *known != addresses;
            *known = addresses;
            is_new
        });
    }

    /// Whether a number is known.
    #[must_use]
    pub fn has(&self, node: NodeNumber) -> bool {
        self.nodes.borrow().contains_key(&node)
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a node; `None` for a number that is not in use any more.
    #[must_use]
    pub fn name_of(&self, node: NodeNumber) -> Option<NodeId> {
        let nodes = self.nodes.borrow();
        let place = nodes.get(&node)?;
        let newest = newest(&nodes, &place.name);
        (newest == Some(node)).then(|| place.name.clone())
    }

    /// The number of a node, by the name in its certificate.
    #[must_use]
    pub fn number_of(&self, name: &NodeId) -> Option<NodeNumber> {
        newest(&self.nodes.borrow(), name)
    }

    /// Where the nodes listen, with changes.
    #[must_use]
    pub fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.subscribe()
    }
}

fn newest(nodes: &BTreeMap<NodeNumber, NodePlace>, name: &NodeId) -> Option<NodeNumber> {
    let mut numbers = nodes.iter().rev();
    let found = numbers.find(|(_, place)| place.name == *name);
    found.map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, address: &str) -> NodePlace {
        NodePlace {
            name: NodeId::new(name).expect("an id"),
            address: address.to_owned(),
        }
    }

    #[test]
    fn a_name_that_came_back_has_its_newest_number_and_address() {
        let directory = Directory::default();
        directory.set(BTreeMap::from([
            (NodeNumber(1), place("a", "old:1")),
            (NodeNumber(2), place("b", "b:1")),
            (NodeNumber(3), place("a", "new:1")),
        ]));
        let name = NodeId::new("a").expect("an id");
        assert_eq!(directory.number_of(&name), Some(NodeNumber(3)));
        assert_eq!(directory.name_of(NodeNumber(1)), None, "it is gone");
        assert_eq!(directory.name_of(NodeNumber(3)), Some(name.clone()));
        let addresses = directory.addresses();
        let address = addresses.borrow().get(&name).cloned();
        assert_eq!(address.as_deref(), Some("new:1"));
    }

    #[test]
    fn what_another_one_told_stays_until_group_0_says_it() {
        let directory = Directory::default();
        let told = |address| BTreeMap::from([(NodeNumber(1), place("a", address))]);
        let address = |directory: &Directory| {
            let addresses = directory.addresses();
            let addresses = addresses.borrow();
            addresses.values().next().cloned()
        };
        directory.set(told("first:1"));
        let joined = NodeNumber(2);
        let nodes = BTreeMap::from([
            (NodeNumber(1), place("a", "second:1")),
            (joined, place("b", "b:1")),
        ]);
        directory.add(nodes);
        assert_eq!(address(&directory).as_deref(), Some("first:1"));
        let b = NodeId::new("b").expect("an id");
        assert_eq!(directory.number_of(&b), Some(joined));
        // Its group 0 is behind still, and is told the rest by the one that joined.
        directory.set(told("first:2"));
        assert_eq!(address(&directory).as_deref(), Some("first:2"));
        assert_eq!(directory.number_of(&b), Some(joined));
        assert!(directory.has(joined) && !directory.has(NodeNumber(3)));
    }

    #[test]
    fn nobody_is_told_of_addresses_that_stay() {
        let directory = Directory::default();
        let nodes = BTreeMap::from([(NodeNumber(1), place("a", "a:1"))]);
        directory.set(nodes.clone());
        let mut addresses = directory.addresses();
        addresses.mark_unchanged();
        directory.set(nodes);
        assert!(!addresses.has_changed().expect("it lives"));
    }
}
