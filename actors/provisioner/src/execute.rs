//! Carries committed intents out, one after another, and reads back what runs.
//!
//! Invariants:
//! - a call that changes something carries its intent's identity and the request's generation;
//! - [`OutcomeResult::Done`] and [`OutcomeResult::Refused`] are what the provider said; everything else is
//!   [`OutcomeResult::Unknown`], also what was never tried;
//! - changes of one resource keep their order: when one has no outcome, later ones of the same resource are
//!   not tried, so that a late retry never overtakes them;
//! - retries are bounded, and so is the time spent on a provider that does not answer.
//!
//! Waits between attempts and the limit of one call are system time; domain time plays no part.

#[cfg(test)]
mod tests;

use crate::driver::{CallContext, DriverError, Listing, ProviderDriver, VmSpec};
use crate::memory::SharedMemory;
use crate::reconcile::OPEN_INTENTS_MAX;
use std::collections::BTreeSet;
use std::time::Duration;
use twinscale_protocol::provisioner::{
    Action, ExecuteReply, ExecuteRequest, Intent, IntentOutcome, ObserveReply, ObserveRequest,
    OutcomeResult,
};
use twinscale_protocol::{TierName, VmId, WireError, WireErrorCode};

/// Most intents in one request: bounds how long a customer's lane is taken up.
pub const INTENTS_PER_REQUEST_MAX: usize = OPEN_INTENTS_MAX;

/// How a driver's calls are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts of one call; at least 1 is made.
    pub attempts_max: u32,
    /// Wait after the first attempt; it doubles with each one. Zero = none, as in replays.
    pub backoff_first: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
    /// Limit of one attempt; past it, the outcome is unknown.
    pub call_limit: Duration,
    /// Intents in a row that got no answer after which the rest of a request is not tried.
    pub failures_max: u32,
    /// Limit of a request with all its calls; past it, the customer's lane counts as hung.
    pub request_limit: Duration,
}

/// What an intent changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Vm(VmId),
    Volume(TierName),
    Link,
}

impl Default for RetryPolicy {
    /// Three attempts, 100 ms doubling to 2 s, 10 s for each; five intents without an answer end it, which
    /// takes under three minutes.
    fn default() -> Self {
        Self {
            attempts_max: 3,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            call_limit: Duration::from_secs(10),
            failures_max: 5,
            request_limit: Duration::from_mins(10),
        }
    }
}

impl RetryPolicy {
    /// The default without waits: for replays, where a simulated cloud answers at once.
    pub fn without_waits() -> Self {
        Self {
            backoff_first: Duration::ZERO,
            backoff_max: Duration::ZERO,
            ..Self::default()
        }
    }
}

/// Carries out the intents of a request in their order.
///
/// # Errors
/// [`WireErrorCode::Invalid`] when the request holds more than [`INTENTS_PER_REQUEST_MAX`] intents; then
/// nothing was tried.
pub async fn execute(
    driver: &dyn ProviderDriver,
    memory: &SharedMemory,
    policy: &RetryPolicy,
    request: &ExecuteRequest,
) -> Result<ExecuteReply, WireError> {
    if request.intents.len() > INTENTS_PER_REQUEST_MAX {
        let message = format!(
            "{} intents of customer {} in one request: send at most {INTENTS_PER_REQUEST_MAX}",
            request.intents.len(),
            request.customer
        );
        return Err(WireError::new(WireErrorCode::Invalid, message));
    }
    let context = CallContext {
        customer: request.customer.clone(),
        generation: request.generation,
        now: request.now,
    };
    let mut run = Run::default();
    let mut outcomes = Vec::with_capacity(request.intents.len());
    for intent in &request.intents {
        let result = if let Some(reason) = run.reason_to_skip(policy, intent) {
            OutcomeResult::Unknown(format!("not tried: {reason}"))
        } else {
            let called = call(driver, policy, &context, &intent.action).await;
            if called.is_ok() {
                let customer = &request.customer;
                memory
                    .lock()
                    .note_done(customer, &intent.action, request.now);
            }
            run.settle(intent, called)
        };
        outcomes.push(IntentOutcome {
            intent: intent.id,
            result,
        });
    }
    Ok(ExecuteReply { outcomes })
}

/// Reads back what a provider runs for a customer, corrected by the effects that are known.
///
/// # Errors
/// [`WireErrorCode::Unavailable`] when the provider gave no listing: then the caller is blind.
pub async fn observe(
    driver: &dyn ProviderDriver,
    memory: &SharedMemory,
    policy: &RetryPolicy,
    request: &ObserveRequest,
) -> Result<ObserveReply, WireError> {
    let mut attempt = 1;
    loop {
        match list(driver, policy, request).await {
            Ok(listing) => return Ok(memory.lock().observe(request, listing)),
            Err(error) if error.is_passing() && attempt < policy.attempts_max => {
                wait_after(policy, attempt).await;
                attempt += 1;
            }
            Err(error) => {
                let message = format!(
                    "{} gave no listing for customer {} in {attempt} attempts: {error}",
                    driver.name(),
                    request.customer
                );
                return Err(WireError::new(WireErrorCode::Unavailable, message));
            }
        }
    }
}

async fn list(
    driver: &dyn ProviderDriver,
    policy: &RetryPolicy,
    request: &ObserveRequest,
) -> Result<Listing, DriverError> {
    let listing = driver.list(&request.customer, request.now);
    within(policy, listing).await
}

async fn call(
    driver: &dyn ProviderDriver,
    policy: &RetryPolicy,
    context: &CallContext,
    action: &Action,
) -> Result<(), DriverError> {
    let mut attempt = 1;
    loop {
        match within(policy, call_once(driver, context, action)).await {
            Err(error) if error.is_passing() && attempt < policy.attempts_max => {
                wait_after(policy, attempt).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

async fn call_once(
    driver: &dyn ProviderDriver,
    context: &CallContext,
    action: &Action,
) -> Result<(), DriverError> {
    match action {
        Action::Launch {
            vm,
            tier,
            vm_type,
            price_per_hour,
            minimum_bill,
        } => {
            let spec = VmSpec {
                vm: *vm,
                tier: tier.clone(),
                vm_type: vm_type.clone(),
                price_per_hour: *price_per_hour,
                minimum_bill: *minimum_bill,
            };
            driver.launch(context, &spec).await
        }
        Action::Terminate { vm } => driver.terminate(context, *vm).await,
        Action::ResizeVolume(volume) => driver.resize_volume(context, volume).await,
        Action::ResizeLink(link) => driver.resize_link(context, *link).await,
    }
}

async fn within<T>(
    policy: &RetryPolicy,
    call: impl Future<Output = Result<T, DriverError>> + Send,
) -> Result<T, DriverError> {
    match tokio::time::timeout(policy.call_limit, call).await {
        Ok(result) => result,
        Err(_elapsed) => Err(DriverError::Unknown {
            reason: format!("no answer within {:?}", policy.call_limit),
        }),
    }
}

async fn wait_after(policy: &RetryPolicy, attempt: u32) {
    let doublings = attempt.saturating_sub(1);
    let wait = policy
        .backoff_first
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(policy.backoff_max);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

/// What one request has met so far.
#[derive(Debug, Default)]
struct Run {
    unsettled: BTreeSet<Resource>,
    failures_in_a_row: u32,
    stale: Option<String>,
}

impl Run {
    fn reason_to_skip(&mut self, policy: &RetryPolicy, intent: &Intent) -> Option<String> {
        let resource = Resource::of(&intent.action);
        let reason = if let Some(stale) = &self.stale {
            stale.clone()
        } else if self.unsettled.contains(&resource) {
            "an earlier change of the same resource has no outcome yet".to_owned()
        } else if self.failures_in_a_row >= policy.failures_max.max(1) {
            format!(
                "{} calls in a row had no outcome; the provider may be down",
                self.failures_in_a_row
            )
        } else {
            return None;
        };
        self.unsettled.insert(resource);
        Some(reason)
    }

    fn settle(&mut self, intent: &Intent, called: Result<(), DriverError>) -> OutcomeResult {
        match called {
            Ok(()) => {
                self.failures_in_a_row = 0;
                OutcomeResult::Done
            }
            Err(error @ DriverError::Refused { .. }) => {
                self.failures_in_a_row = 0;
                OutcomeResult::Refused(error.to_string())
            }
            // Not closed as refused: the intent is the present owner's to carry out.
            Err(error @ DriverError::StaleGeneration { .. }) => {
                tracing::warn!(intent = intent.id.0, %error, "provider call fenced off");
                self.stale = Some(error.to_string());
                OutcomeResult::Unknown(error.to_string())
            }
            Err(error @ (DriverError::Throttled | DriverError::Unknown { .. })) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.unsettled.insert(Resource::of(&intent.action));
                OutcomeResult::Unknown(error.to_string())
            }
        }
    }
}

impl Resource {
    fn of(action: &Action) -> Self {
        match action {
            Action::Launch { vm, .. } | Action::Terminate { vm } => Self::Vm(*vm),
            Action::ResizeVolume(volume) => Self::Volume(volume.volume.clone()),
            Action::ResizeLink(_) => Self::Link,
        }
    }
}
