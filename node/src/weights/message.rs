//! What nodes and people ask each other of weights.

use serde::{Deserialize, Serialize};
use twinscale_cluster::admin::FiguresLine;
use twinscale_forecaster::shadow::SeriesTally;
use twinscale_meta::stored::v2::WeightsNotice;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{NodeNumber, WeightsId};
use twinscale_weights::Part;

use crate::cluster::commands::message::SilentNode;

/// What a node is asked of its own weights: nothing in it.
pub const WEIGHTS_NODE: EnvelopeKind = EnvelopeKind(0x0832);

/// A [`NodeWeights`].
pub const WEIGHTS_NODE_REPLY: EnvelopeKind = EnvelopeKind(0x0833);

/// An `Asked` of nothing: what every node serves and compares.
pub const WEIGHTS_READ: EnvelopeKind = EnvelopeKind(0x0834);

/// A [`WeightsNodes`].
pub const WEIGHTS_READ_REPLY: EnvelopeKind = EnvelopeKind(0x0835);

/// An `Asked` of a [`PutCall`].
pub const WEIGHTS_PUT: EnvelopeKind = EnvelopeKind(0x0836);

/// A [`PutReply`].
pub const WEIGHTS_PUT_REPLY: EnvelopeKind = EnvelopeKind(0x0837);

/// A chunk of weights that an operator brings: first those of the card, then those of the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutCall {
    /// SHA-256 of the weights.
    pub weights: [u8; 32],
    /// Which of the two files.
    pub part: Part,
    /// SHA-256 of this file.
    pub digest: [u8; 32],
    /// Length of this file.
    pub total: u64,
    /// Where the chunk begins.
    pub offset: u64,
    /// The chunk.
    pub bytes: Vec<u8>,
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutReply {
    /// Bytes of this file that are there.
    pub have: u64,
    /// What can be made known, once both files are here, checked and durable.
    pub notice: Option<WeightsNotice>,
}

/// The weights of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeWeights {
    /// The node.
    pub node: NodeNumber,
    /// Its name.
    pub name: String,
    /// What its forecaster serves.
    pub serves: WeightsId,
    /// The weights that its program was started with.
    pub shipped: WeightsId,
    /// Whether that is what it should serve.
    pub in_step: bool,
    /// Why not, or what else is wrong.
    pub trouble: Option<String>,
    /// Registered weights that are here and verified.
    pub local: Vec<WeightsId>,
    /// What it fetches now.
    pub fetching: Option<Fetching>,
    /// What it compares.
    pub shadow: Option<NodeShadow>,
    /// The sums by series; left out for people.
    pub tallies: Vec<SeriesTally>,
}

/// A file that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// Of which weights.
    pub weights: WeightsId,
    /// Bytes that are there.
    pub have: u64,
    /// All bytes.
    pub total: u64,
}

/// What a node compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeShadow {
    /// The number of the trial.
    pub trial: u64,
    /// Series that are compared.
    pub series: u64,
    /// Requests that were forecast in the shadow.
    pub done: u64,
    /// Requests that were left out since too many waited.
    pub dropped: u64,
    /// Why it cannot go on here.
    pub failed: Option<String>,
}

/// The weights of all nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsNodes {
    /// By node.
    pub nodes: Vec<NodeWeights>,
    /// Nodes that did not answer.
    pub silent: Vec<SilentNode>,
    /// What was compared so far; `None` = there is no trial, or not enough yet.
    pub comparison: Option<FiguresLine>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_cluster::admin::Asked;
    use twinscale_protocol::envelope::{HEADER_BYTES, open, seal};

    #[test]
    fn golden_bytes() {
        let call = PutCall {
            weights: [1; 32],
            part: Part::Weights,
            digest: [2; 32],
            total: 300,
            offset: 5,
            bytes: vec![9, 8],
        };
        let asked = Asked::by_certificate(call);
        let bytes = seal(WEIGHTS_PUT, &asked).expect("encodes");
        let golden: &[&[u8]] = &[
            &[0],
            &[1; 32],
            &[0],
            &[2; 32],
            &[251, 44, 1],
            &[5],
            &[2, 9, 8],
        ];
        assert_eq!(&bytes[HEADER_BYTES..], golden.concat());
        assert_eq!(
            open::<Asked<PutCall>>(WEIGHTS_PUT, &bytes).expect("decodes"),
            asked
        );
        let reply = PutReply {
            have: 7,
            notice: None,
        };
        let bytes = seal(WEIGHTS_PUT_REPLY, &reply).expect("encodes");
        assert_eq!(&bytes[HEADER_BYTES..], [7, 0]);
        let id = |text: &str| WeightsId::new(text).expect("an id");
        let node = NodeWeights {
            node: NodeNumber(3),
            name: "c".to_owned(),
            serves: id("a"),
            shipped: id("b"),
            in_step: true,
            trouble: None,
            local: vec![id("a")],
            fetching: None,
            shadow: Some(NodeShadow {
                trial: 4,
                series: 5,
                done: 6,
                dropped: 7,
                failed: None,
            }),
            tallies: Vec::new(),
        };
        let bytes = seal(WEIGHTS_NODE_REPLY, &node).expect("encodes");
        let golden = [
            3, 1, 99, 1, 97, 1, 98, 1, 0, 1, 1, 97, 0, 1, 4, 5, 6, 7, 0, 0,
        ];
        assert_eq!(&bytes[HEADER_BYTES..], golden);
    }
}
