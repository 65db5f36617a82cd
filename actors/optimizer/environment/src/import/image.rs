//! Which tier an image makes.

use crate::model::TierKind;

/// What is known of an image: what it is, and what a first model states for it until it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KnownImage {
    /// The word of an image's name that says what it is.
    pub(crate) word: &'static str,
    pub(crate) kind: TierKind,
    /// Stated service demand, in seconds: the order of magnitude of a simple request.
    pub(crate) mean_s: f64,
    /// Requests at once of one server, where the image's own default is known.
    pub(crate) connections_max: u32,
    /// It passes requests on, and so stands before others.
    pub(crate) is_proxy: bool,
}

/// Stated for an image that is not known: a request to an application.
pub(crate) const SERVICE_MEAN_S: f64 = 0.01;

const DATABASE_S: f64 = 0.002;
const CACHE_S: f64 = 0.0001;
const QUEUE_S: f64 = 0.0002;
const PROXY_S: f64 = 0.0003;

/// Words of names whose image only serves the one that another word names.
const COMPANIONS: &[&str] = &[
    "exporter",
    "operator",
    "ui",
    "admin",
    "backup",
    "commander",
    "insight",
    "proxy-init",
    "init",
    "dashboard",
    "manager",
    "migrate",
    "cli",
    "tools",
    "sidecar",
    "pgadmin",
    "phpmyadmin",
];

const KNOWN: &[KnownImage] = &[
    database("postgres", 100),
    database("postgresql", 100),
    database("postgis", 100),
    database("timescaledb", 100),
    database("pgvector", 100),
    database("mysql", 151),
    database("mariadb", 151),
    database("percona", 151),
    database("mongo", 800),
    database("mongodb", 800),
    database("cockroach", 500),
    database("cassandra", 500),
    database("scylla", 500),
    database("elasticsearch", 500),
    database("opensearch", 500),
    database("clickhouse", 100),
    database("mssql", 500),
    database("couchdb", 500),
    database("influxdb", 500),
    database("neo4j", 400),
    cache("redis"),
    cache("valkey"),
    cache("keydb"),
    cache("dragonfly"),
    cache("memcached"),
    queue("rabbitmq"),
    queue("kafka"),
    queue("redpanda"),
    queue("nats"),
    queue("activemq"),
    queue("pulsar"),
    queue("mosquitto"),
    proxy("nginx"),
    proxy("openresty"),
    proxy("haproxy"),
    proxy("traefik"),
    proxy("envoy"),
    proxy("caddy"),
    proxy("httpd"),
    proxy("varnish"),
    proxy("kong"),
];

const fn database(word: &'static str, connections_max: u32) -> KnownImage {
    KnownImage {
        word,
        kind: TierKind::Database,
        mean_s: DATABASE_S,
        connections_max,
        is_proxy: false,
    }
}

const fn cache(word: &'static str) -> KnownImage {
    KnownImage {
        word,
        kind: TierKind::Cache,
        mean_s: CACHE_S,
        connections_max: 10_000,
        is_proxy: false,
    }
}

const fn queue(word: &'static str) -> KnownImage {
    KnownImage {
        word,
        kind: TierKind::Queue,
        mean_s: QUEUE_S,
        connections_max: 1000,
        is_proxy: false,
    }
}

const fn proxy(word: &'static str) -> KnownImage {
    KnownImage {
        word,
        kind: TierKind::Service,
        mean_s: PROXY_S,
        connections_max: 1024,
        is_proxy: true,
    }
}

/// Recognises an image such as `docker.io/bitnami/postgresql:16`, by the last part of its name.
pub(crate) fn recognise(image: &str) -> Option<&'static KnownImage> {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let stem = last
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let words: Vec<&str> = stem.split(['-', '_', '.']).collect();
    if words.iter().any(|word| COMPANIONS.contains(word)) {
        return None;
    }
    KNOWN.iter().find(|known| words.contains(&known.word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_the_last_part_of_their_name() {
        for (image, word) in [
            ("postgres:16-alpine", Some("postgres")),
            (
                "docker.io/bitnami/postgresql:16@sha256:00",
                Some("postgresql"),
            ),
            ("registry:5000/confluentinc/cp-kafka:7.6", Some("kafka")),
            ("redis/redis-stack-server", Some("redis")),
            ("oliver006/redis_exporter", None),
            ("shop/nginx-like-app", Some("nginx")),
            ("mysqlshop/checkout:1", None),
            ("", None),
        ] {
            assert_eq!(recognise(image).map(|known| known.word), word, "{image}");
        }
    }
}
