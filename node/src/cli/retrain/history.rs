//! The histories of all customers, page by page.

use super::Origins;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::api::{CustomersReply, HistoryReply, TwinReply};
use crate::service::client::ApiClient;
use std::collections::BTreeMap;
use twinscale_forecaster::training::corpus::SourceSeries;

/// Series that are trained on at most: beyond, memory would grow without making weights better.
const SERIES_MAX: usize = 2_000;

/// Steps that are kept of one series at most: eight weeks of five minutes.
const STEPS_MAX: usize = 16_128;

/// The data's name in a card.
const DATASET: &str = "cluster";

/// What was read.
pub(super) struct Histories {
    pub(super) series: Vec<SourceSeries>,
    pub(super) customers: usize,
    pub(super) origin: Origins,
}

/// Reads the history of every customer's series, the newest steps of each.
///
/// # Errors
/// When a node does not answer as it should.
pub(super) async fn read_all(client: &ApiClient, quiet: bool) -> Result<Histories, ExpectedError> {
    let progress = Progress::start("reading", 1, quiet);
    let mut series = Vec::new();
    let mut customers = 0;
    let mut after: Option<String> = None;
    loop {
        let behind = after.map_or_else(String::new, |after| format!("&after={after}"));
        let page: CustomersReply = client
            .get(&format!("/v1/customers?limit=100{behind}"))
            .await?;
        for item in &page.customers {
            customers += 1;
            progress.of(customers as u64, customers as u64 + 1);
            progress.note(format!("{} series of {customers} customers", series.len()));
            if series.len() < SERIES_MAX {
                read_customer(client, &item.customer, &mut series).await?;
            }
        }
        match page.next_after {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let source = format!(
        "the cluster's own history: {} series of {customers} customers",
        series.len()
    );
    Ok(Histories {
        series,
        customers,
        origin: BTreeMap::from([(DATASET.to_owned(), source)]),
    })
}

async fn read_customer(
    client: &ApiClient,
    customer: &str,
    series: &mut Vec<SourceSeries>,
) -> Result<(), ExpectedError> {
    let twin: TwinReply = client.get(&format!("/v1/customers/{customer}")).await?;
    for one in &twin.series {
        if series.len() >= SERIES_MAX {
            return Ok(());
        }
        let query = format!("vm_type={}&metric={}", one.vm_type, one.metric);
        let path = format!("/v1/customers/{customer}/history?{query}");
        let id = format!("{customer}/{}/{}", one.vm_type, one.metric);
        series.extend(read_series(client, &path, id).await?);
    }
    Ok(())
}

/// Reads a series to its end, and keeps its newest steps.
async fn read_series(
    client: &ApiClient,
    path: &str,
    id: String,
) -> Result<Option<SourceSeries>, ExpectedError> {
    let mut start_s = None;
    let mut interval_s;
    let mut values: Vec<Option<f64>> = Vec::new();
    let mut from = String::new();
    loop {
        let page: HistoryReply = client.get(&format!("{path}{from}")).await?;
        interval_s = page.interval_s.max(1);
        start_s = start_s.or(page.first_at);
        values.extend(page.values);
        let too_many = values.len().saturating_sub(STEPS_MAX);
        values.drain(..too_many);
        let skipped = i64::try_from(too_many)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(interval_s));
        start_s = start_s.map(|start| start.saturating_add(skipped));
        match page.next_from {
            Some(next) => from = format!("&from={next}"),
            None => break,
        }
    }
    let Some(start_s) = start_s else {
        return Ok(None);
    };
    let length_s = i64::try_from(values.len())
        .unwrap_or(i64::MAX)
        .saturating_mul(i64::from(interval_s));
    Ok(Some(SourceSeries {
        dataset: DATASET.to_owned(),
        id,
        start_s,
        interval_s,
        // Demand below nothing is a fault of who measured it.
        values: values
            .into_iter()
            .map(|value| value.filter(|value| *value >= 0.0))
            .collect(),
        events: Vec::new(),
        cut_s: start_s.saturating_add(length_s),
    }))
}
