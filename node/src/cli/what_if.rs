//! `twinscale what-if`: a stack, or a running customer, as it is beside the same with something changed.

mod customer;
mod drivers;

use self::drivers::PriceArgument;
use super::asked_node::AskedNode;
use super::simulate::parts;
use super::standing::{self, EngineName};
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::api::{SupposedDriver, SupposedEvent, WhatIfRequest};
use clap::Args;
use std::path::PathBuf;
use twinscale_environment::what_if::{Change, WhatIf, compare};
use twinscale_protocol::{CustomerId, TierName, ZoneName};

/// Shows what a change would do: to a stack model, or to a customer of a running node.
///
/// With --model: load, VMs, zones, work, prices or data of a stack change. Both sides are answered for alike: what
/// an hour costs, what requests meet, what is used up first. All changes are made together, in the order: load, data,
/// work, prices, VM types, numbers of VMs, lost zones.
///
/// With --customer: a running node forecasts and plans with announced events, growth, other prices and other service,
/// and without, as far ahead as the customer's horizon or, where something lies or ends beyond it, up to 168 steps.
/// Demand answers as the customer's own history says, or else as the shared model of reactions does (docs/reaction.md);
/// the answer says which. Nothing is stored there.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("subject").required(true).args(["model", "customer"]),
    after_help = "\
Examples:
  $ twinscale what-if --model samples/models/web-shop.toml --load 2 --lose-zone eu-1a
  $ twinscale what-if --customer acme --event campaign@2026-11-27T09:00Z..4h,x3 --customer-growth 20%
  $ twinscale what-if --customer acme --event release@2026-11-27T09:00Z   # as far as the twin knows releases
  $ twinscale what-if --customer acme --price +10% --latency x2@2026-11-27T09:00Z..2h --throttle 5%
  $ twinscale what-if --customer acme --customer-growth 20% --steps 168                   # a week of hours"
)]
pub(super) struct WhatIfArguments {
    /// The stack model, a TOML file.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A customer of a running node.
    #[arg(long, value_name = "NAME", value_parser = name::<CustomerId>)]
    customer: Option<CustomerId>,
    #[command(flatten)]
    node: AskedNode,
    /// An event of the customer, with what demand is multiplied by; without a factor what the twin has learnt of such
    /// events counts. Kinds: holiday, campaign, release, earnings, season, `price_change`, other. May be given again.
    #[arg(long, value_name = "KIND@START[..END][,xFACTOR]", value_parser = customer::parse_event, requires = "customer")]
    event: Vec<SupposedEvent>,
    /// Growth of the customer's demand: 20% or 0.2.
    #[arg(long, value_name = "SHARE", value_parser = customer::parse_growth, requires = "customer", allow_hyphen_values = true)]
    customer_growth: Option<f64>,
    /// Steps ahead of the customer that forecasts and plans cover, from 1 to 168. When left out, the customer's horizon,
    /// and further where an event, price or service lies or ends beyond it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=168), requires = "customer")]
    steps: Option<u16>,
    /// Load times a factor: of all classes (2), or of one (buy=1.5). May be given again.
    #[arg(long, value_name = "[CLASS=]FACTOR", value_parser = parse_load)]
    load: Vec<Change>,
    /// Size of a data set times a factor.
    #[arg(long, value_name = "DATA_SET=FACTOR", value_parser = parse_data)]
    data: Vec<Change>,
    /// Work of each request at a tier times a factor, such as a slower database.
    #[arg(long, value_name = "TIER=FACTOR", value_parser = parse_slower)]
    slower: Vec<Change>,
    /// With --model: price of a VM type times a factor. With --customer: the price that the customer's own users pay,
    /// such as +10% or -5%, from now on or in a span.
    #[arg(long, value_name = "VM_TYPE=FACTOR|PERCENT[@START[..END]]", value_parser = drivers::parse_price, allow_hyphen_values = true)]
    price: Vec<PriceArgument>,
    /// Response time that the customer's users meet: so many times its objective (x2), or milliseconds against it
    /// (800ms), from now on or in a span.
    #[arg(long, value_name = "xFACTOR|MS[@START[..END]]", value_parser = drivers::parse_latency, requires = "customer")]
    latency: Vec<SupposedDriver>,
    /// Share of the customer's requests that is refused or not served, such as 5%, from now on or in a span.
    #[arg(long, value_name = "SHARE[@START[..END]]", value_parser = drivers::parse_throttle, requires = "customer")]
    throttle: Vec<SupposedDriver>,
    /// Another VM type for a tier, which the model describes.
    #[arg(long, value_name = "TIER=VM_TYPE", value_parser = parse_vm_type)]
    vm_type: Vec<Change>,
    /// Another number of VMs for a tier, of its first VM type.
    #[arg(long, value_name = "TIER=COUNT", value_parser = parse_vms)]
    vms: Vec<Change>,
    /// A zone that is lost with all its VMs.
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    lose_zone: Vec<Change>,
    /// How to answer.
    #[arg(long, value_enum, default_value_t = EngineName::Both)]
    engine: EngineName,
    /// Root of all randomness: both sides meet the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; they change how long it takes, not what comes out.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Splits `NAME=VALUE`.
fn pair<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once('=')
        .ok_or_else(|| format!("`{text}` is no {form}: write {form}"))
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor > 0.0 && factor.is_finite() => Ok(factor),
        _ => Err(format!(
            "`{text}` is no factor: write a number above 0, such as 1.5"
        )),
    }
}

/// Reads a name of any kind.
fn name<N: std::str::FromStr>(text: &str) -> Result<N, String>
where
    N::Err: std::fmt::Display,
{
    text.parse().map_err(|error: N::Err| error.to_string())
}

fn parse_load(text: &str) -> Result<Change, String> {
    let (class, number) = match text.split_once('=') {
        Some((class, number)) => (Some(name(class)?), number),
        None => (None, text),
    };
    let factor = factor(number)?;
    Ok(Change::Load { class, factor })
}

fn parse_data(text: &str) -> Result<Change, String> {
    let (data_set, number) = pair(text, "DATA_SET=FACTOR")?;
    Ok(Change::Data {
        data_set: name(data_set)?,
        factor: factor(number)?,
    })
}

fn parse_slower(text: &str) -> Result<Change, String> {
    let (tier, number) = pair(text, "TIER=FACTOR")?;
    Ok(Change::Slower {
        tier: name(tier)?,
        factor: factor(number)?,
    })
}

fn parse_vm_type(text: &str) -> Result<Change, String> {
    let (tier, vm_type) = pair(text, "TIER=VM_TYPE")?;
    Ok(Change::VmType {
        tier: name(tier)?,
        vm_type: name(vm_type)?,
    })
}

fn parse_vms(text: &str) -> Result<Change, String> {
    let (tier, count) = pair(text, "TIER=COUNT")?;
    let tier: TierName = name(tier)?;
    let count = count
        .parse()
        .map_err(|_error| format!("`{count}` is no number of VMs: write a whole one"))?;
    Ok(Change::Vms { tier, count })
}

fn parse_zone(text: &str) -> Result<Change, String> {
    let zone: ZoneName = name(text)?;
    Ok(Change::LostZone { zone })
}

pub(super) fn run(arguments: &WhatIfArguments, quiet: bool) -> anyhow::Result<()> {
    if let Some(customer) = &arguments.customer {
        return of_customer(arguments, customer);
    }
    let Some(model) = &arguments.model else {
        anyhow::bail!("neither a model nor a customer was given");
    };
    let prices = drivers::of_vm_types(&arguments.price)?;
    let changes: Vec<Change> = [
        &arguments.load,
        &arguments.data,
        &arguments.slower,
        &prices,
        &arguments.vm_type,
        &arguments.vms,
        &arguments.lose_zone,
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect();
    if changes.is_empty() {
        return Err(ExpectedError::input_hint(
            "nothing is to be changed",
            "give --load 1.5, --vms TIER=COUNT, --lose-zone ZONE or another change: twinscale what-if --help",
        )
        .into());
    }
    let checked = standing::read_stack(model, quiet)?;
    let engine = arguments
        .engine
        .engine(arguments.seed, usize::from(arguments.threads));
    let progress = Progress::start("what if", 1, quiet);
    let found = compare(&checked.model, &changes, engine, &|share| {
        progress.of(parts(share), parts(1.0));
        true
    });
    drop(progress);
    let found = found.map_err(|error| {
        ExpectedError::input(format!("{} cannot be changed so", model.display()), error)
    })?;
    if arguments.json {
        standing::print_json(&found)
    } else {
        console::print(&text(&found))?;
        Ok(())
    }
}

fn of_customer(arguments: &WhatIfArguments, customer: &CustomerId) -> anyhow::Result<()> {
    let mut question = WhatIfRequest {
        events: arguments.event.clone(),
        growth: arguments.customer_growth.unwrap_or(0.0),
        drivers: [
            drivers::of_customer(&arguments.price)?,
            arguments.latency.clone(),
            arguments.throttle.clone(),
        ]
        .concat(),
        steps: None,
    };
    if question == WhatIfRequest::default() {
        return Err(ExpectedError::input_hint(
            "nothing is to be changed",
            "give --event KIND@START,xFACTOR, --customer-growth 20%, --price +10%, --latency x2 or --throttle 5%: \
             twinscale what-if --help",
        )
        .into());
    }
    question.steps = arguments.steps;
    customer::run(
        &arguments.node.client(),
        customer,
        &question,
        arguments.json,
    )
}

fn text(found: &WhatIf) -> String {
    let WhatIf {
        changes,
        today,
        then,
    } = found;
    let apart = then.cost.total_usd - today.cost.total_usd;
    let sign = if apart < 0.0 { '-' } else { '+' };
    format!(
        "TODAY\n{}\nWITH {}\n{}\ncost {sign}${:.4} per hour\n",
        standing::text(today),
        changes.join(", "),
        standing::text(then),
        apart.abs(),
    )
}

#[cfg(test)]
mod tests {
    use super::{parse_load, parse_vms, parse_zone};

    #[test]
    fn changes_are_read_and_what_is_wrong_is_named() {
        assert_eq!(parse_load("2").expect("a factor").to_string(), "load x 2");
        let of_class = parse_load("buy=1.5").expect("a factor");
        assert_eq!(of_class.to_string(), "load of buy x 1.5");
        let told = parse_load("buy=0").expect_err("no factor");
        assert!(told.contains("`0`"), "{told}");
        let told = parse_vms("app").expect_err("no pair");
        assert!(told.contains("TIER=COUNT"), "{told}");
        assert!(parse_vms("app=1.5").is_err());
        assert!(parse_zone("no zone").is_err());
    }
}
