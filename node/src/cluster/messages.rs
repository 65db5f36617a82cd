//! What nodes ask each other: requests of the API and samples on behalf of people and programs, and forecasts.

use crate::service::api::RefusalCode;
use serde::{Deserialize, Serialize};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::twin::{IngestReply, IngestRequest};
use twinscale_protocol::{SeriesKey, ShardId, WeightsId, WireError};
use twinscale_shards::ShardsError;

/// An [`ApiCall`].
pub const API_REQUEST: EnvelopeKind = EnvelopeKind(0x0810);

/// An [`ApiReply`].
pub const API_REPLY: EnvelopeKind = EnvelopeKind(0x0811);

/// An [`IngestCall`].
pub const INGEST_REQUEST: EnvelopeKind = EnvelopeKind(0x0812);

/// An [`IngestAnswer`].
pub const INGEST_REPLY: EnvelopeKind = EnvelopeKind(0x0813);

/// A [`LoanCall`].
pub const FORECAST_LOAN: EnvelopeKind = EnvelopeKind(0x0814);

/// A [`LoanReply`].
pub const FORECAST_LENT: EnvelopeKind = EnvelopeKind(0x0815);

/// A request of the HTTP API that another node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiCall {
    /// The shard that the answering node must lead; `None` = it answers for itself.
    pub shard: Option<ShardId>,
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers that matter to the API.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body as the client sent it.
    pub body: Vec<u8>,
}

/// The answer to an [`ApiCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAnswer {
    /// The status line.
    pub status: u16,
    /// The headers that matter to the client.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer, or why there is none from this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiReply(pub Result<ApiAnswer, ShardsError>);

/// Samples of customers of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestCall {
    /// The shard that the answering node must lead.
    pub shard: ShardId,
    /// One per customer.
    pub requests: Vec<IngestRequest>,
}

/// What became of an [`IngestCall`], by customer in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestAnswer(pub Result<Vec<Taken>, ShardsError>);

/// What became of a customer's samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What the twin says; an error that may pass concerns all of them.
    pub outcome: Result<IngestReply, WireError>,
    /// Samples that bounds of the node keep out: of one series, or of all, with code and words.
    pub refused: Vec<(Option<SeriesKey>, RefusalCode, String)>,
}

/// A forecast that another node is to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanCall {
    /// The weights that it must be made with.
    pub weights: WeightsId,
    /// What is to be forecast.
    pub request: ForecastRequest,
}

/// The answer to a [`LoanCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanReply(pub ForecastReply);

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::envelope::{HEADER_BYTES, seal};
    use twinscale_protocol::forecaster::{
        ForecastContext, ForecastSource, SeriesForecast, SeriesWindow,
    };
    use twinscale_protocol::{
        CustomerId, DomainTime, FixedValue, MetricName, QUANTILES, Seconds, VmTypeId,
    };

    fn key() -> SeriesKey {
        SeriesKey {
            vm_type: VmTypeId::new("web").expect("an id"),
            metric: MetricName::new("vm_count").expect("a name"),
        }
    }

    #[test]
    fn golden_bytes_of_loans() {
        let call = LoanCall {
            weights: WeightsId::new("w").expect("an id"),
            request: ForecastRequest {
                customer: CustomerId::new("ab").expect("an id"),
                issued_at: DomainTime(60),
                interval: Seconds(30),
                horizon_steps: 2,
                series: vec![SeriesWindow {
                    key: key(),
                    first_at: DomainTime(0),
                    values: vec![Some(FixedValue(5)), None],
                    lead_steps: 1,
                    calibration: vec![9],
                }],
                events: Vec::new(),
            },
        };
        let bytes = seal(FORECAST_LOAN, &call).expect("encodes");
        assert_eq!(
            hex(&bytes[HEADER_BYTES..]),
            "0177026162781e02010377656208766d5f636f756e740002010a0001010900"
        );
        let reply = LoanReply(ForecastReply {
            forecasts: vec![SeriesForecast {
                key: key(),
                first_step_at: DomainTime(60),
                interval: Seconds(30),
                quantiles: vec![[FixedValue(1); QUANTILES]],
                peak: None,
                source: ForecastSource::Network(WeightsId::new("w").expect("an id")),
                context: ForecastContext::default(),
            }],
            calibrations: vec![vec![9]],
        });
        let bytes = seal(FORECAST_LENT, &reply).expect("encodes");
        assert_eq!(
            hex(&bytes[HEADER_BYTES..]),
            "010377656208766d5f636f756e74781e01020202020202020200000177000000010109"
        );
    }

    fn hex(bytes: &[u8]) -> String {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<Vec<_>>().concat()
    }
}
