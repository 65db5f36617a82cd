//! `GET` and `PUT` of a customer's policy and stack, with a dry run that says what would change.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::body::BodyReader;
use super::documents::{self, Change};
use super::error::{ApiError, ErrorCode, ErrorReply, echo};
use super::views::{PlanCostView, cost_view};
use crate::clients::OptimizerClient;
use crate::service::limits::{ANSWER_LIMIT, DOCUMENT_BYTES_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toml::Table;
use twinscale_cluster_config::{PolicyFile, check_customer, policy_table};
use twinscale_protocol::CustomerId;
use twinscale_protocol::optimizer::{Plan, PlanTrigger};
use twinscale_protocol::twin::ConfigureRequest;
use twinscale_twin::demand::{PlanBasis, plan_request};
use twinscale_twin::{
    ApplyResult, HostError, PlanClient as _, Refusal, TwinCommand, TwinConfig, TwinState,
};
use utoipa::{IntoParams, ToSchema};

/// Whether to do it or only to say what would be.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
pub struct DryRun {
    /// Only says what would change, and what a plan would cost.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a change of policy or stack came to, or would come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigureReply {
    /// Whether it was done.
    pub applied: bool,
    /// The version of the configuration then; counts its changes.
    pub config_version: u64,
    /// Every key that differs.
    pub changes: Vec<Change>,
    /// What the plan from now on would cost; for a dry run where there is a forecast.
    pub cost: Option<CostChange>,
    /// Why there is no cost, or no plan at all.
    pub note: Option<String>,
}

/// What a plan costs before and after a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostChange {
    /// With the configuration as it is.
    pub before: Option<PlanCostView>,
    /// With the change.
    pub after: Option<PlanCostView>,
}

/// Shows a customer's policy, in the words of the policy file.
#[utoipa::path(get, path = "/v1/customers/{customer}/policy", tag = "customers",
    params(("customer" = String, Path)),
    responses(
        (status = 200, description = "the policy", body = Object),
        (status = 404, description = "no such customer, or no policy yet", body = ErrorReply),
    ))]
pub(crate) async fn get_policy(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
) -> Result<(Tag, Json<Table>), ApiError> {
    let _permit = service.begin_read()?;
    let (config, tag) = config_of(&service, &customer_id(&customer)?)?;
    Ok((tag, Json(policy_table(&config.policy))))
}

/// Shows a customer's stack, in the words of the stack file, with `interval_s` and `horizon_steps`.
#[utoipa::path(get, path = "/v1/customers/{customer}/stack", tag = "customers",
    params(("customer" = String, Path)),
    responses(
        (status = 200, description = "the stack", body = Object),
        (status = 404, description = "no such customer, or no stack yet", body = ErrorReply),
    ))]
pub(crate) async fn get_stack(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
) -> Result<(Tag, Json<Table>), ApiError> {
    let _permit = service.begin_read()?;
    let (config, tag) = config_of(&service, &customer_id(&customer)?)?;
    Ok((tag, Json(documents::stack_document(&config))))
}

/// Sets a customer's policy (TOML or JSON, keys of the policy file). Without a stack one is derived from
/// what the customer has sent. The twin plans by it at once.
#[utoipa::path(put, path = "/v1/customers/{customer}/policy", tag = "customers",
    params(("customer" = String, Path), DryRun,
        ("if-match" = Option<String>, Header, description = "only if the configuration is of this version, as etag says; \"0\" = none yet")),
    request_body(content = Object, description = "keys of docs/reference/config.md, as JSON or TOML"),
    responses(
        (status = 200, description = "durable, or what would change", body = ConfigureReply),
        (status = 400, description = "rules are broken: all are listed", body = ErrorReply),
        (status = 409, description = "there is no stack and none can be derived", body = ErrorReply),
        (status = 412, description = "if-match names another version than the current one", body = ErrorReply),
        (status = 413, description = "the body is too large", body = ErrorReply),
        (status = 503, description = "not now", body = ErrorReply),
    ))]
pub(crate) async fn put_policy(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(dry_run): Query<DryRun>,
    request: Request,
) -> Result<Json<ConfigureReply>, ApiError> {
    let _permit = service.begin_ingest()?;
    let customer = customer_id(&customer)?;
    let wish = Wish::of(dry_run, request.headers())?;
    let policy = documents::policy_of(&customer, body_table(request).await?)?;
    let known = known(&service, &customer);
    let config = match known.config {
        Some(config) => TwinConfig { policy, ..config },
        None => TwinConfig {
            stack: documents::derived_stack(&customer, &known.series, &policy)?,
            policy,
            interval: service.settings().interval,
            horizon_steps: service.settings().horizon_steps,
        },
    };
    configure(&service, customer, config, wish).await
}

/// Sets a customer's stack (TOML or JSON, keys of the stack file, and `interval_s`, `horizon_steps`).
/// Without a policy the documented defaults hold. The twin plans by it at once.
#[utoipa::path(put, path = "/v1/customers/{customer}/stack", tag = "customers",
    params(("customer" = String, Path), DryRun,
        ("if-match" = Option<String>, Header, description = "only if the configuration is of this version, as etag says; \"0\" = none yet")),
    request_body(content = Object, description = "keys of docs/reference/config.md, as JSON or TOML"),
    responses(
        (status = 200, description = "durable, or what would change", body = ConfigureReply),
        (status = 400, description = "rules are broken: all are listed", body = ErrorReply),
        (status = 412, description = "if-match names another version than the current one", body = ErrorReply),
        (status = 413, description = "the body is too large", body = ErrorReply),
        (status = 503, description = "not now", body = ErrorReply),
    ))]
pub(crate) async fn put_stack(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(dry_run): Query<DryRun>,
    request: Request,
) -> Result<Json<ConfigureReply>, ApiError> {
    let _permit = service.begin_ingest()?;
    let customer = customer_id(&customer)?;
    let wish = Wish::of(dry_run, request.headers())?;
    let document = documents::stack_of(&customer, body_table(request).await?)?;
    let before = known(&service, &customer).config;
    let settings = service.settings();
    let interval = before
        .as_ref()
        .map_or(settings.interval, |one| one.interval);
    let steps = before
        .as_ref()
        .map_or(settings.horizon_steps, |one| one.horizon_steps);
    let policy = before.map_or_else(
        || PolicyFile::default().policy_of(&customer).clone(),
        |config| config.policy,
    );
    let config = TwinConfig {
        policy,
        stack: document.stack,
        interval: document.interval.unwrap_or(interval),
        horizon_steps: document.horizon_steps.unwrap_or(steps),
    };
    configure(&service, customer, config, wish).await
}

/// Policy and stack of a customer together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Keys of the policy file.
    #[schema(value_type = Object)]
    pub policy: Table,
    /// Keys of the stack file, and `interval_s`, `horizon_steps`.
    #[schema(value_type = Object)]
    pub stack: Table,
}

/// Sets policy and stack of a customer together, so that neither has to fit the other's older form.
#[utoipa::path(put, path = "/v1/customers/{customer}", tag = "customers",
    params(("customer" = String, Path), DryRun,
        ("if-match" = Option<String>, Header, description = "only if the configuration is of this version, as etag says; \"0\" = none yet")),
    request_body(content = Wishes, description = "keys of docs/reference/config.md, as JSON or TOML"),
    responses(
        (status = 200, description = "durable, or what would change", body = ConfigureReply),
        (status = 400, description = "rules are broken: all are listed", body = ErrorReply),
        (status = 412, description = "if-match names another version than the current one", body = ErrorReply),
        (status = 413, description = "the body is too large", body = ErrorReply),
        (status = 503, description = "not now", body = ErrorReply),
    ))]
pub(crate) async fn put_customer(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(dry_run): Query<DryRun>,
    request: Request,
) -> Result<Json<ConfigureReply>, ApiError> {
    let _permit = service.begin_ingest()?;
    let customer = customer_id(&customer)?;
    let wish = Wish::of(dry_run, request.headers())?;
    let Wishes { policy, stack } = body_table(request).await?.try_into().map_err(|error| {
        ApiError::invalid(
            format!("the body does not fit: {error}"),
            "send policy and stack",
        )
    })?;
    let document = documents::stack_of(&customer, stack)?;
    let settings = service.settings();
    let config = TwinConfig {
        policy: documents::policy_of(&customer, policy)?,
        stack: document.stack,
        interval: document.interval.unwrap_or(settings.interval),
        horizon_steps: document.horizon_steps.unwrap_or(settings.horizon_steps),
    };
    configure(&service, customer, config, wish).await
}

/// How a change is wished for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    /// Only say what would change.
    is_dry: bool,
    /// Only if the configuration is of this version.
    if_version: Option<u64>,
}

impl Wish {
    fn of(DryRun { dry_run }: DryRun, headers: &HeaderMap) -> Result<Self, ApiError> {
        let stated = headers.get(header::IF_MATCH);
        let if_version = stated
            .map(|value| {
                let text = value.to_str().unwrap_or_default();
                text.trim_matches('"').parse::<u64>().map_err(|_error| {
                    ApiError::invalid(
                        format!("if-match `{}` is no version", echo(text)),
                        "send the etag of GET policy or stack, such as \"3\"; \"0\" = there must be none yet",
                    )
                })
            })
            .transpose()?;
        Ok(Self {
            is_dry: dry_run,
            if_version,
        })
    }
}

/// A change that came too late has a status of its own.
fn changed(error: HostError) -> ApiError {
    match error {
        HostError::Refused {
            refusal: refusal @ Refusal::ConfigChanged { .. },
            ..
        } => ApiError::new(
            ErrorCode::PreconditionFailed,
            refusal.to_string(),
            "GET it again: its etag is the version",
        ),
        other => other.into(),
    }
}

/// What is known of a customer before a change.
#[derive(Debug, Default)]
struct Known {
    config: Option<TwinConfig>,
    config_version: u64,
    series: std::collections::BTreeSet<twinscale_protocol::SeriesKey>,
}

fn known(service: &Service, customer: &CustomerId) -> Known {
    let known = service.twins().read(customer, |state| Known {
        config: state.config().cloned(),
        config_version: state.config_version(),
        series: state.series().cloned().collect(),
    });
    known.unwrap_or_default()
}

async fn configure(
    service: &Service,
    customer: CustomerId,
    config: TwinConfig,
    wish: Wish,
) -> Result<Json<ConfigureReply>, ApiError> {
    check_customer(&customer, &config.policy, &config.stack)
        .map_err(|error| documents::broken(&error))?;
    let before = known(service, &customer);
    let changes = documents::changes(before.config.as_ref(), &config);
    if wish.is_dry {
        let (cost, note) = cost_change(service, &customer, config).await?;
        return Ok(Json(ConfigureReply {
            applied: false,
            config_version: before.config_version,
            changes,
            cost,
            note,
        }));
    }
    let TwinConfig {
        policy,
        stack,
        interval,
        horizon_steps,
    } = config;
    let request = ConfigureRequest {
        customer: customer.clone(),
        policy,
        stack,
        interval,
        horizon_steps,
    };
    let set = match wish.if_version {
        Some(version) => service.twins().configure_if(request, version).await,
        None => service.twins().configure(request).await,
    };
    let config_version = set.map_err(changed)?;
    // Durable already: a twin that cannot be started now is started with the node.
    let note = service.keeper().ensure(&customer).await.err().map(|error| {
        tracing::error!(%customer, %error, "twin could not be started");
        format!("the twin could not be started: {error}")
    });
    Ok(Json(ConfigureReply {
        applied: true,
        config_version,
        changes,
        cost: None,
        note,
    }))
}

/// Plans with a copy of the twin's state, with and without the change.
async fn cost_change(
    service: &Service,
    customer: &CustomerId,
    config: TwinConfig,
) -> Result<(Option<CostChange>, Option<String>), ApiError> {
    let Some(state) = service.twins().read(customer, Clone::clone) else {
        return Ok((None, Some("the customer has no samples yet".to_owned())));
    };
    let mut changed: TwinState = state.clone();
    match changed.apply(TwinCommand::Configure(config)) {
        ApplyResult::Configured { .. } => {}
        ApplyResult::Refused(refusal) => {
            return Err(ApiError::invalid(
                refusal.to_string(),
                "correct the request",
            ));
        }
        other => {
            let note = format!("the twin cannot take it now: {other:?}");
            return Ok((None, Some(note)));
        }
    }
    let before = plan(service, &state).await;
    let after = plan(service, &changed).await;
    let note = after.as_ref().err().cloned();
    let view = |plan: Plan| cost_view(&plan);
    let cost = CostChange {
        before: before.ok().map(view),
        after: after.ok().map(view),
    };
    Ok((Some(cost), note))
}

pub(super) async fn plan(service: &Service, state: &TwinState) -> Result<Plan, String> {
    let basis = PlanBasis {
        trigger: PlanTrigger::Asked,
        root_seed: service.settings().seed,
    };
    let request = plan_request(state, basis).map_err(|error| error.to_string())?;
    let optimizer = OptimizerClient {
        address: service.node().optimizer().address().clone(),
        instruments: service.node().instruments().clone(),
    };
    let planned = optimizer.plan(request, ANSWER_LIMIT).await;
    planned.map_err(|error| error.to_string())
}

async fn body_table(request: Request) -> Result<Table, ApiError> {
    let (head, body) = request.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let body = BodyReader::start(&head.headers, body, DOCUMENT_BYTES_MAX).await?;
    documents::table_of(&body.whole().await?, content_type)
}

/// The version of a configuration, as an entity tag.
type Tag = [(HeaderName, String); 1];

fn config_of(service: &Service, customer: &CustomerId) -> Result<(TwinConfig, Tag), ApiError> {
    let known = known(service, customer);
    let tag = [(header::ETAG, format!("\"{}\"", known.config_version))];
    let config = known.config.map(|config| (config, tag));
    config.ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            format!("customer `{customer}` has no policy and stack"),
            format!("PUT /v1/customers/{customer}/stack or /policy"),
        )
    })
}

/// Reads a customer's name off a path.
pub(crate) fn customer_id(text: &str) -> Result<CustomerId, ApiError> {
    CustomerId::new(text).map_err(|error| {
        ApiError::invalid(error.to_string(), "GET /v1/customers lists what exists")
    })
}
