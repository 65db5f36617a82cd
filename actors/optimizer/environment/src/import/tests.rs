use crate::import::annotate::remark;
use crate::import::{ImportError, Imported, import_compose, import_kubernetes};
use crate::model::{TierKind, read_model};
use twinscale_protocol::{CustomerId, TierName, VmTypeId, VolumeName};

const COMPOSE: &str = include_str!("../../tests/data/shop.compose.yaml");
const KUBERNETES: &str = include_str!("../../tests/data/shop.kubernetes.yaml");

fn acme() -> CustomerId {
    CustomerId::new("acme").expect("a customer")
}

fn compose(text: &str) -> Result<Imported, ImportError> {
    import_compose(text, "compose.yaml", &acme())
}

fn kubernetes(text: &str) -> Result<Imported, ImportError> {
    import_kubernetes(text, "shop.yaml", &acme())
}

fn calls(imported: &Imported) -> Vec<(String, String)> {
    let calls = imported.checked.model.calls.iter();
    calls
        .map(|call| (call.from.to_string(), call.to.to_string()))
        .collect()
}

fn tiers(imported: &Imported) -> Vec<(&str, TierKind, u32)> {
    let tiers = imported.checked.model.tiers.iter();
    tiers
        .map(|(name, tier)| {
            (
                name.as_str(),
                tier.kind,
                tier.vms.iter().map(|vms| vms.count).sum(),
            )
        })
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
        .collect()
}

#[track_caller]
fn check_text(imported: &Imported) {
    let read = read_model(&imported.toml, "imported.toml");
    let read = read.unwrap_or_else(|error| panic!("{error}\n{}", imported.toml));
    assert_eq!(read, imported.checked);
    for gap in imported.gaps.iter().filter(|gap| gap.stated.is_some()) {
        let remark = remark(gap.stated.as_deref().unwrap_or_default(), gap.hint);
        assert!(
            imported.toml.contains(&remark),
            "{gap:?} is not marked in\n{}",
            imported.toml
        );
    }
    let marked = imported
        .toml
        .lines()
        .filter(|line| line.contains(" = ") && line.contains("# not in the file"));
    let stated = imported.gaps.iter().filter(|gap| gap.stated.is_some());
    assert_eq!(
        marked.count(),
        stated.count(),
        "every stated value is marked once"
    );
}

#[test]
fn a_compose_file_becomes_a_model() {
    let imported = compose(COMPOSE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        tiers(&imported),
        [
            ("broker", TierKind::Queue, 1),
            ("cache", TierKind::Cache, 1),
            ("db", TierKind::Database, 1),
            ("proxy", TierKind::Service, 1),
            ("web", TierKind::Service, 3),
            ("worker", TierKind::Service, 2),
        ]
    );
    let mut found = calls(&imported);
    found.sort();
    assert_eq!(
        found,
        pairs(&[
            ("broker", "worker"),
            ("proxy", "web"),
            ("web", "broker"),
            ("web", "cache"),
            ("web", "db"),
            ("worker", "cache"),
            ("worker", "db"),
        ])
    );
    let model = &imported.checked.model;
    assert_eq!(model.classes.len(), 1);
    let web = &model.vm_types[&VmTypeId::new("web").expect("a name")];
    assert_eq!((web.vcpu, web.memory_gib), (1.5, 1.0));
    let volume = &model.volumes[&VolumeName::new("broker-data").expect("a name")];
    assert!((volume.capacity_gib - 20.0).abs() < 1e-9);
    check_text(&imported);
    let notes = imported.notes.join("\n");
    assert!(
        notes.contains("migrate is left off: others wait for its end"),
        "{notes}"
    );
    assert!(notes.contains("worker only takes from broker"), "{notes}");
    assert!(notes.contains("db names proxy, which calls it"), "{notes}");
    let keys: Vec<&str> = imported.gaps.iter().map(|gap| gap.key.as_str()).collect();
    for key in [
        "class.requests.rate_per_s",
        "class.requests.sla",
        "tier.web.demand.requests.mean_s",
        "vm_type.db.price_per_hour_usd",
        "volume.db-data.capacity_gib",
        "tier.cache.cache.hit.ratio",
        "link",
    ] {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    assert!(
        !keys.contains(&"volume.broker-data.capacity_gib"),
        "its size is in the file"
    );
}

#[test]
fn kubernetes_manifests_become_a_model() {
    let imported = kubernetes(KUBERNETES).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        tiers(&imported),
        [
            ("api", TierKind::Service, 4),
            ("frontend", TierKind::Service, 2),
            ("memcached", TierKind::Cache, 2),
            ("postgres", TierKind::Database, 3),
            ("search", TierKind::Database, 1),
        ]
    );
    let mut found = calls(&imported);
    found.sort();
    assert_eq!(
        found,
        pairs(&[
            ("api", "memcached"),
            ("api", "postgres"),
            ("api", "search"),
            ("frontend", "api"),
        ])
    );
    let model = &imported.checked.model;
    let api = &model.vm_types[&VmTypeId::new("api").expect("a name")];
    // Both containers of the pod.
    assert_eq!((api.vcpu, api.memory_gib), (2.1, 2.0625));
    let postgres = &model.tiers[&TierName::new("postgres").expect("a name")];
    assert_eq!(postgres.database.as_ref().map(|d| d.read_replicas), Some(2));
    let sizes: Vec<(&str, f64)> = model
        .volumes
        .iter()
        .map(|(name, v)| (name.as_str(), v.capacity_gib))
        .collect();
    assert_eq!(sizes, [("postgres-data", 200.0), ("search-index", 50.0)]);
    check_text(&imported);
    let notes = imported.notes.join("\n");
    assert!(
        notes.contains("Deployment api is scaled from 4 to 20"),
        "{notes}"
    );
    assert!(
        notes.contains("CronJob nightly-report is left off"),
        "{notes}"
    );
    assert!(notes.contains("ServiceAccount (1 of it)"), "{notes}");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, words) in [
        ("services:\n  web: [", "compose.yaml:3: not valid YAML"),
        (
            "services: 3\n",
            "compose.yaml:1: services is \"3\", and must be a table of services",
        ),
        (
            "services:\n  web: nginx\n",
            "compose.yaml:2: services.web is \"nginx\", and must be a table",
        ),
        (
            "services:\n  web:\n    image: nginx\n    cpus: many\n",
            "compose.yaml:4: services.web: cpus is \"many\"",
        ),
        (
            "services:\n  web:\n    deploy:\n      replicas: -2\n",
            "compose.yaml:4: services.web.deploy.replicas is \"-2\"",
        ),
        ("services: {}\n", "compose.yaml has nothing to model"),
        ("version: '3'\n", "compose.yaml has nothing to model"),
        ("", "compose.yaml has nothing to model"),
        ("- a\n", "compose.yaml:1: the file is a list of 1"),
        ("a: *b\n", "compose.yaml:1: not valid YAML"),
    ] {
        let error = compose(text).expect_err(text).to_string();
        assert!(error.contains(words), "{error}");
    }
    for (text, words) in [
        (
            "kind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {}}}\n",
            "shop.yaml:3: Deployment a: spec.containers",
        ),
        (
            "kind: Service\nmetadata: {name: a}\n",
            "shop.yaml has nothing to model",
        ),
        (
            "kind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - image: x\n    resources: {limits: {cpu: lots}}\n",
            "shop.yaml:6: Pod a: resources cpu is \"lots\"",
        ),
    ] {
        let error = kubernetes(text).expect_err(text).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn bounds_hold() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        let aliases = vec![alias; 10].join(", ");
        let line = format!("a{level}: &a{level} [{aliases}]\n");
        bomb.push_str(&line);
    }
    let error = compose(&bomb).expect_err("a bomb").to_string();
    assert!(error.contains("more than 200000 values"), "{error}");
    let deep = format!("services: {}", "[".repeat(5000));
    assert!(compose(&deep).is_err());
    let steps: Vec<String> = (0..100)
        .map(|step| format!("{}a:\n", " ".repeat(step)))
        .collect();
    let error = compose(&steps.concat()).expect_err("deep").to_string();
    assert!(error.contains("more than 64 levels"), "{error}");
    let wide: Vec<String> = (0..65)
        .map(|index| format!("  s{index}: {{image: x}}\n"))
        .collect();
    let error = compose(&format!("services:\n{}", wide.concat()))
        .expect_err("wide")
        .to_string();
    assert!(
        error.contains("compose.yaml:66: more than 64 tiers"),
        "{error}"
    );
    let long = "#".repeat(5 * 1024 * 1024);
    let error = compose(&long).expect_err("long").to_string();
    assert!(error.contains("bytes"), "{error}");
}

#[test]
fn services_without_a_word_about_each_other_have_classes_of_their_own() {
    let imported = compose("services:\n  a: {image: x, ports: ['80:80']}\n  b: {image: y}\n")
        .expect("a model");
    let classes: Vec<(&str, Option<f64>)> = imported
        .checked
        .model
        .classes
        .iter()
        .map(|(name, class)| (name.as_str(), class.rate_per_s))
        .collect();
    assert_eq!(classes, [("a", Some(10.0)), ("b", Some(1.0))]);
    check_text(&imported);
}

#[test]
fn names_that_models_do_not_take_are_changed() {
    let imported =
        compose("services:\n  \"a b\": {image: x}\n  clients: {image: y}\n").expect("a model");
    let names: Vec<&str> = tiers(&imported).iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["a-b", "tier-1"]);
    check_text(&imported);
}
