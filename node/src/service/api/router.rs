//! All paths in one place: the router and the OpenAPI document are made of the same list.

use super::error::{ApiError, ErrorCode};
use super::forward::{Way, to_leader};
use super::{
    configure, customers, events, forecasts, history, node, patterns, steps, telemetry, vms,
    weights, what_if,
};
use crate::cluster::forward::HereAnswers;
use crate::service::state::Service;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Twinscale",
        description = "Digital twins of every customer of a cloud: samples and events in, forecasts and \
                       plans out. Errors have one shape; times are seconds since 1970, UTC; money is in US \
                       dollars. There is no authentication here: keep the node on loopback or behind a \
                       proxy that has it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "ingest", description = "What customers send."),
        (name = "customers", description = "What twins know and want."),
        (name = "node", description = "How the node is."),
    )
)]
struct Description;

fn described() -> OpenApiRouter<Arc<Service>> {
    let router = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(telemetry::telemetry))
        .routes(routes!(events::events))
        .routes(routes!(customers::customers))
        .routes(routes!(customers::twin, configure::put_customer))
        .routes(routes!(forecasts::forecast))
        .routes(routes!(customers::plan))
        .routes(routes!(vms::vms))
        .routes(routes!(patterns::patterns))
        .routes(routes!(what_if::what_if))
        .routes(routes!(customers::observations))
        .routes(routes!(history::history))
        .routes(routes!(steps::steps))
        .routes(routes!(configure::get_policy, configure::put_policy))
        .routes(routes!(configure::get_stack, configure::put_stack))
        .routes(routes!(node::health))
        .routes(routes!(node::ready))
        .routes(routes!(node::node))
        .routes(routes!(weights::weights))
        .routes(routes!(weights::weights_file));
    #[cfg(feature = "next-schema")]
    let router = router.routes(routes!(super::notes::get_notes, super::notes::post_note));
    router
}

/// All metrics, for Prometheus.
async fn metrics(State(service): State<Arc<Service>>) -> Result<impl IntoResponse, ApiError> {
    let _permit = service.begin_read()?;
    let text = service.collector().scrape(&service).await;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text))
}

/// The API over a service that has what concerns one customer answered by the node that leads its shard:
/// `alone`, its API that answers for itself, with a layer around its routes.
pub(crate) fn with_leaders(
    service: Arc<Service>,
    alone: Router,
    here: Arc<dyn HereAnswers>,
) -> Router {
    let way = Way {
        service: Arc::clone(&service),
        here,
    };
    behind_gate(
        alone.route_layer(from_fn_with_state(way, to_leader)),
        service,
    )
}

/// The schema gate before the way to whoever leads, who may not know what is behind it.
#[cfg(feature = "next-schema")]
fn behind_gate(router: Router, service: Arc<Service>) -> Router {
    router.route_layer(from_fn_with_state(service, super::notes::behind_gate))
}

/// No path of this program needs more than the first schema.
#[cfg(not(feature = "next-schema"))]
fn behind_gate(router: Router, _service: Arc<Service>) -> Router {
    router
}

/// The API over a service that answers for itself.
pub fn router(service: Arc<Service>) -> Router {
    let (router, _openapi) = described().split_for_parts();
    let document = openapi_json();
    router
        .route(
            "/v1/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }),
        )
        // Text for Prometheus, whose format is not ours to describe: no part of the document.
        .route("/metrics", get(metrics))
        .fallback(|| async {
            ApiError::new(
                ErrorCode::NotFound,
                "there is nothing at this path",
                "GET /v1/openapi.json lists what there is",
            )
        })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                ErrorCode::MethodNotAllowed,
                "this path does not take that method",
                "GET /v1/openapi.json lists what there is",
            )
            .into_response()
        })
        .with_state(service)
}

/// The OpenAPI document, as JSON with an end of line.
#[expect(
    clippy::missing_panics_doc,
    reason = "the document is plain data; a test makes it"
)]
pub fn openapi_json() -> String {
    let (_router, openapi) = described().split_for_parts();
    let mut text = openapi
        .to_pretty_json()
        .expect("an OpenAPI document is plain data");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_that_of_the_router() {
        let committed = include_str!("../../../../docs/reference/openapi.json");
        assert!(
            committed == openapi_json(),
            "write it anew: cargo run --bin twinscale -- openapi > docs/reference/openapi.json"
        );
    }
}
