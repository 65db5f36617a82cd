use crate::model::{CheckedModel, StackModel, model_reference, model_schema, read_model};
use twinscale_cluster_config::{ConfigError, Violation};

pub(crate) const WEB_SHOP: &str = include_str!("../../../../../samples/models/web-shop.toml");
pub(crate) const CACHED_SITE: &str = include_str!("../../../../../samples/models/cached-site.toml");

pub(crate) fn sample(text: &str) -> CheckedModel {
    read_model(text, "sample.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn violations(text: &str) -> Vec<Violation> {
    match read_model(text, "m.toml") {
        Err(ConfigError::Invalid { violations, .. }) => violations,
        other => panic!("not a list of violations: {other:?}"),
    }
}

/// The sample with one text replaced by another.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the sample has no `{from}`");
    text.replacen(from, to, 1)
}

/// Checks that a change of the web shop is refused at a key, with a rule or hint that has this text.
fn check(from: &str, to: &str, key: &str, words: &str) {
    let found = violations(&changed(WEB_SHOP, from, to));
    let hit = found.iter().find(|violation| violation.key == key);
    let hit = hit.unwrap_or_else(|| panic!("{key} is not among {found:#?}"));
    let text = hit.to_string();
    assert!(text.contains(words), "{text}");
}

#[test]
fn the_samples_keep_every_rule() {
    for text in [WEB_SHOP, CACHED_SITE] {
        let checked = sample(text);
        assert_eq!(checked.warnings, [], "a sample surprises nobody");
    }
}

#[test]
fn a_written_model_reads_back() {
    for text in [WEB_SHOP, CACHED_SITE] {
        let checked = sample(text);
        let written = checked.model.to_toml();
        assert_eq!(sample(&written), checked, "{written}");
    }
}

#[test]
fn everything_wrong_comes_at_once() {
    let text = changed(WEB_SHOP, "rate_per_s = 120.0", "rate_per_s = nan");
    let text = changed(&text, "share = 0.8", "share = -0.1");
    let text = changed(&text, "vcpu = 2", "vcpus = 2");
    let text = changed(
        &text,
        "price_per_hour_usd = 0.0725",
        "price_per_hour_usd = 0",
    );
    let text = changed(
        &text,
        "balancer = \"round-robin\"",
        "balancer = \"roundrobin\"",
    );
    let text = changed(&text, "to = \"app\"", "to = \"ap\"");
    let text = changed(&text, "tier = \"db\"\ncapacity_gib = 500", "tier = \"db2\"");
    let found = violations(&text);
    let keys: Vec<&str> = found.iter().map(|v| v.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "call[0].to",
            "class.browse.share",
            "rate_per_s",
            "tier.web.balancer",
            "vm_type.\"c7g.large\".price_per_hour_usd",
            "vm_type.\"c7g.large\".vcpu",
            "vm_type.\"c7g.large\".vcpus",
            "volume.db-data.capacity_gib",
            "volume.db-data.tier",
        ],
        "{found:#?}"
    );
    let text = read_model(&text, "m.toml").expect_err("broken").to_string();
    assert!(text.contains("did you mean `app`?"), "{text}");
    assert!(text.contains("did you mean `vcpu`?"), "{text}");
    assert!(text.contains("did you mean `db`?"), "{text}");
}

#[test]
fn a_circle_is_named_tier_by_tier() {
    let text = format!("{WEB_SHOP}\n[[call]]\nfrom = \"db\"\nto = \"web\"\n");
    let found = violations(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let text = found.first().expect("one").to_string();
    assert!(text.contains("call[3]"), "{text}");
    assert!(text.contains("app -> db -> web -> app"), "{text}");
}

#[test]
fn a_tier_calls_not_itself() {
    check("to = \"app\"", "to = \"web\"", "call[0]", "web -> web");
}

/// A change of the web shop, and where and how it is refused.
const BROKEN: &[(&str, &str, &str, &str)] = &[
    ("count = 4", "count = 0", "tier.app.vm", "without servers"),
    (
        "vm = [{ type = \"c7g.large\", count = 4 }]",
        "",
        "tier.app.vm",
        "without servers",
    ),
    ("share = 0.2", "share = 0.3", "class.*.share", "sum to 1"),
    ("share = 0.2", "", "class.buy.share", "a rate of its own"),
    ("rate_per_s = 120.0", "", "rate_per_s", "is needed"),
    (
        "p50_s = 0.2",
        "p50_s = 0.9",
        "class.buy.sla.p95_s",
        "at least p50_s",
    ),
    (
        "p95_s = 0.3",
        "p95_s = -1",
        "class.browse.sla.p95_s",
        "a number from",
    ),
    (
        "demand.buy = { mean_s = 0.055",
        "demand.by = { mean_s = 0.055",
        "tier.app.demand.by",
        "did you mean `buy`?",
    ),
    (
        "demand.buy = { mean_s = 0.055",
        "demand.by = { mean_s = 0.055",
        "tier.app.demand.buy",
        "come here",
    ),
    (
        "scv = 1.6",
        "scv = 0.0",
        "tier.app.demand.browse.scv",
        "above 0",
    ),
    (", scv = 1.6", "", "tier.app.demand.browse.scv", "is needed"),
    (
        "read_replicas = 1",
        "read_replicas = 2",
        "tier.db.database.read_replicas",
        "must take writes",
    ),
    (
        "[tier.db]\nkind = \"database\"",
        "[tier.db]",
        "tier.db.database",
        "only a database",
    ),
    (
        "iops_burst = 16000",
        "iops_burst = 100",
        "volume.db-data.iops_burst",
        "at least the baseline",
    ),
    (
        "capacity_gib = 500",
        "capacity_gib = 100",
        "volume.db-data.capacity_gib",
        "202.0 GiB",
    ),
    (
        "to = \"eu-1b\"",
        "to = \"web\"",
        "link.between-zones.to",
        "another sort",
    ),
    (
        "price_per_hour_usd = 0.3",
        "price_per_hour_usd = 0",
        "link.internet.price_per_hour_usd",
        "without end",
    ),
    (
        "classes = [\"buy\"]",
        "classes = [\"bye\"]",
        "call[2].classes[0]",
        "did you mean `buy`?",
    ),
    (
        "from = \"app\"\nto = \"db\"\nclasses = [\"buy\"]",
        "from = \"app\"\nto = \"db\"\non_miss_of = \"web\"\nclasses = [\"buy\"]",
        "call[2].on_miss_of",
        "is no cache",
    ),
    (
        "zones = [\"eu-1a\"",
        "zones = [\"web\"",
        "tier.web",
        "bears the name of a zone",
    ),
    (
        "customer = \"web-shop\"",
        "customer = \"Web Shop\"",
        "customer",
        "1 to 63 of a-z",
    ),
    ("customer = \"web-shop\"", "", "customer", "is needed"),
    (
        "per_request = 6.0",
        "per_request = inf",
        "call[2].per_request",
        "a number from",
    ),
    (
        "count = 4",
        "count = 2000000",
        "tier.app.vm[0].count",
        "from 0 to 1000000",
    ),
];

#[test]
fn meaning_is_checked() {
    for (from, to, key, words) in BROKEN {
        check(from, to, key, words);
    }
}

#[test]
fn a_tier_that_nobody_calls_is_refused() {
    let text = format!("{WEB_SHOP}\n[tier.spare]\nvm = [{{ type = \"c7g.large\", count = 1 }}]\n");
    let found = violations(&text);
    let text = found.first().expect("one").to_string();
    assert!(
        text.contains("tier.spare") && text.contains("no class reaches it"),
        "{text}"
    );
}

#[test]
fn too_much_load_is_a_warning_with_a_number_of_vms() {
    let text = changed(WEB_SHOP, "rate_per_s = 120.0", "rate_per_s = 300.0");
    let warnings = sample(&text).warnings;
    let app = warnings
        .iter()
        .find(|w| w.key == "tier.app.vm")
        .expect("a warning");
    // 300 x (0.8 x 0.028 + 0.2 x 0.055) = 10.02 cores of 8.
    assert_eq!(
        app.rule,
        "tier app: utilisation 1.25 at 300 requests/s: needs at least 6 VMs"
    );
}

#[test]
fn an_empty_file_says_what_is_needed() {
    let found = violations("");
    let keys: Vec<&str> = found.iter().map(|v| v.key.as_str()).collect();
    assert_eq!(keys, ["class", "customer"]);
}

#[test]
fn violations_are_limited_in_number() {
    let lines = (0..5000).map(|index| format!("key_{index} = 1\n"));
    let text: String = lines.collect();
    let found = violations(&text);
    assert_eq!(found.len(), 201);
    assert!(found.last().expect("some").value.contains("further"));
}

#[test]
fn a_table_with_too_many_entries_is_refused_before_its_meaning() {
    let tiers: Vec<String> = (0..100).map(|index| format!("[tier.t{index}]\n")).collect();
    let tiers = tiers.concat();
    let found = violations(&format!("{WEB_SHOP}\n{tiers}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found.first().expect("one").rule.contains("at most 64"));
}

#[test]
fn the_schema_stands_on_its_own() {
    let schema: serde_json::Value = serde_json::from_str(&model_schema()).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["$defs"]["Tier"].is_object());
}

#[test]
fn a_model_is_checked_without_a_file_too() {
    let mut model: StackModel = sample(WEB_SHOP).model;
    model.rate_per_s = None;
    let error = model.check("the test").expect_err("no rate").to_string();
    assert!(error.contains("the test breaks a rule"), "{error}");
}

#[test]
fn the_reference_is_up_to_date() {
    let page = include_str!("../../../../../docs/reference/stack-model.md");
    assert!(
        page == model_reference(),
        "run: cargo run -q -p twinscale-environment --example stack -- reference > docs/reference/stack-model.md"
    );
    let schema = include_str!("../../../../../docs/reference/stack-model.schema.json");
    assert!(
        schema == model_schema(),
        "run: cargo run -q -p twinscale-environment --example stack -- schema > docs/reference/stack-model.schema.json"
    );
}

#[test]
fn every_key_has_a_meaning_a_range_and_an_example() {
    let page = model_reference();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        assert!(!row.contains("| |") && !row.contains("``"), "{row}");
        assert!(
            !row.contains("e308") && !row.contains("179769"),
            "no range: {row}"
        );
    }
    assert!(page.contains("| `demand.NAME.mean_s` |"));
    assert!(page.contains("| `cache.hit.points[].data_gib` |"));
}

#[test]
fn a_cache_that_answers_all_leaves_its_database_in_place() {
    let text = changed(CACHED_SITE, "size_gib = 90", "size_gib = 1");
    let text = text.replace(
        "from = \"app\"\nto = \"db\"\nclasses = [\"publish\"]",
        "from = \"app\"\nto = \"db\"\nclasses = [\"page\"]\non_miss_of = \"cache\"",
    );
    let checked = sample(&text);
    let flow = crate::flow::flow(&checked.model).expect("a flow");
    let db = flow
        .tiers
        .iter()
        .find(|(name, _)| name.as_str() == "db")
        .expect("a tier")
        .1;
    assert!(db.utilisation.abs() < 1e-12, "{db:?}");
}

#[test]
fn the_drawn_sample_is_up_to_date() {
    let drawn = crate::draw::stack_svg(&sample(CACHED_SITE).model).expect("drawn");
    let picture = include_str!("../../../../../docs/images/stack.svg");
    assert!(
        picture == drawn,
        "run: cargo run -q -p twinscale-environment --example stack -- show samples/models/cached-site.toml --svg docs/images/stack.svg"
    );
}
