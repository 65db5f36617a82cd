//! Docker Compose files.

use crate::import::build::build;
use crate::import::draft::{Draft, DraftCall, DraftTier, DraftVolume, Strength};
use crate::import::environment::{interpolated, names_in};
use crate::import::error::ImportError;
use crate::import::gap::Imported;
use crate::import::quantity::{compose_gib, cpus};
use crate::import::yaml::{Kind, Node, documents};
use twinscale_protocol::CustomerId;

/// Keys of a service that say more elsewhere, where this reader does not look.
const ELSEWHERE: &[&str] = &["extends", "env_file", "build"];

/// Makes a first model of a Docker Compose file; `file` names it in messages.
///
/// # Errors
/// [`ImportError`] with file and line: no YAML, beyond a bound, a value of another kind than Compose takes, or
/// no service that keeps running.
pub fn import_compose(
    text: &str,
    file: &str,
    customer: &CustomerId,
) -> Result<Imported, ImportError> {
    let documents = documents(text, file)?;
    let root = documents.first().ok_or_else(|| empty(file))?;
    let Some(services) = root.get("services") else {
        return Err(match root.kind {
            Kind::Table(_) => empty(file),
            _ => root.wrong(file, "the file", "a table with services"),
        });
    };
    let Kind::Table(entries) = &services.kind else {
        return Err(services.wrong(file, "services", "a table of services"));
    };
    let mut draft = Draft {
        file: file.to_owned(),
        ..Draft::default()
    };
    if let Some(include) = root.get("include") {
        draft.note(
            include.line,
            "include: other files are not read, import each",
        );
    }
    for (name, service) in entries {
        let reader = Reader { file, root, name };
        if let Some(reason) = reader.is_short_lived(service, entries) {
            draft.note(service.line, format!("{name} is left off: {reason}"));
            continue;
        }
        let tier = reader.tier(service, &mut draft)?;
        draft.tiers.push(tier);
    }
    if draft.tiers.is_empty() {
        return Err(empty(file));
    }
    name_calls(&mut draft);
    build(draft, customer)
}

fn empty(file: &str) -> ImportError {
    ImportError::Empty {
        file: file.to_owned(),
        hint: "a Compose file has its containers under services",
    }
}

/// Adds the calls that variables and arguments name.
pub(crate) fn name_calls(draft: &mut Draft) {
    let names: Vec<String> = draft.tiers.iter().map(|tier| tier.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for tier in &mut draft.tiers {
        for (variable, value) in &tier.values {
            for to in names_in(variable, value, &names) {
                tier.calls.push(DraftCall {
                    strength: Strength::Named,
                    to: to.to_owned(),
                    line: tier.line,
                });
            }
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    root: &'a Node,
    name: &'a str,
}

impl Reader<'_> {
    /// Says why a service is no tier: others wait for its end, or it never restarts and does one thing.
    fn is_short_lived(&self, service: &Node, all: &[(String, Node)]) -> Option<&'static str> {
        let awaited = all.iter().any(|(_, other)| {
            let condition = other.text_at(&["depends_on", self.name, "condition"]);
            condition == Some("service_completed_successfully")
        });
        if awaited {
            return Some("others wait for its end");
        }
        let mode = service.text_at(&["deploy", "mode"])?;
        mode.ends_with("-job").then_some("it is a job")
    }

    fn tier(&self, service: &Node, draft: &mut Draft) -> Result<DraftTier, ImportError> {
        let path = format!("services.{}", self.name);
        if !matches!(service.kind, Kind::Table(_)) {
            return Err(service.wrong(self.file, &path, "a table"));
        }
        for key in ELSEWHERE.iter().filter(|key| service.get(key).is_some()) {
            let line = service.get(key).map_or(service.line, |node| node.line);
            draft.note(line, format!("{path}.{key}: what it refers to is not read"));
        }
        let image = service.text_at(&["image"]).map(interpolated);
        let mut values = self.values(service, &path)?;
        for key in ["command", "entrypoint"] {
            let Some(node) = service.get(key) else {
                continue;
            };
            let parts = std::slice::from_ref(node).iter().chain(node.list());
            values.extend(
                parts
                    .filter_map(Node::text)
                    .map(|text| (String::new(), interpolated(text))),
            );
        }
        Ok(DraftTier {
            name: self.name.to_owned(),
            line: service.line,
            image,
            count: self.count(service, &path, draft)?,
            vcpu: self.limit(service, &["cpus"], "cpus", cpus, "CPUs such as 0.5")?,
            memory_gib: self.limit(
                service,
                &["mem_limit"],
                "memory",
                compose_gib,
                "bytes such as 512m",
            )?,
            volumes: self.volumes(service),
            is_open: !service.list_at(&["ports"]).is_empty(),
            values,
            calls: Self::calls(service),
        })
    }

    fn count(
        &self,
        service: &Node,
        path: &str,
        draft: &mut Draft,
    ) -> Result<Option<u32>, ImportError> {
        if service.text_at(&["deploy", "mode"]) == Some("global") {
            let text = format!("{path}.deploy.mode: one at each machine, taken for one");
            draft.note(service.line, text);
        }
        let stated = service.at(&["deploy", "replicas"]);
        let Some(node) = stated.or_else(|| service.get("scale")) else {
            return Ok(None);
        };
        let text = node.text().map(interpolated).unwrap_or_default();
        match text.parse::<u32>() {
            Ok(0) => {
                draft.note(node.line, format!("{path}: none of it runs, taken for one"));
                Ok(None)
            }
            Ok(count) if count <= 1_000_000 => Ok(Some(count)),
            _ => Err(node.wrong(
                self.file,
                &format!("{path}.deploy.replicas"),
                "a number of containers up to 1000000",
            )),
        }
    }

    fn limit(
        &self,
        service: &Node,
        direct: &[&str],
        key: &str,
        read: fn(&str) -> Option<f64>,
        wanted: &'static str,
    ) -> Result<Option<f64>, ImportError> {
        let resources = ["limits", "reservations"].iter().find_map(|sort| {
            let key = if key == "cpus" { "cpus" } else { "memory" };
            service.at(&["deploy", "resources", sort, key])
        });
        let Some(node) = resources.or_else(|| service.at(direct)) else {
            return Ok(None);
        };
        let text = node.text().map(interpolated).unwrap_or_default();
        match read(&text) {
            Some(value) => Ok(Some(value)),
            // Compose reads 0 as no limit, and a variable without default says nothing.
            None if text.is_empty() || text.parse::<f64>().is_ok_and(|value| value == 0.0) => {
                Ok(None)
            }
            None => Err(node.wrong(self.file, &format!("services.{}: {key}", self.name), wanted)),
        }
    }

    fn values(&self, service: &Node, path: &str) -> Result<Vec<(String, String)>, ImportError> {
        let Some(node) = service.get("environment") else {
            return Ok(Vec::new());
        };
        match &node.kind {
            Kind::Table(entries) => Ok(entries
                .iter()
                .map(|(name, value)| (name.clone(), interpolated(value.text().unwrap_or_default())))
                .collect()),
            Kind::List(entries) => Ok(entries
                .iter()
                .filter_map(Node::text)
                .filter_map(|entry| entry.split_once('='))
                .map(|(name, value)| (name.to_owned(), interpolated(value)))
                .collect()),
            Kind::Scalar(None) => Ok(Vec::new()),
            Kind::Scalar(Some(_)) => Err(node.wrong(
                self.file,
                &format!("{path}.environment"),
                "a table or a list",
            )),
        }
    }

    fn calls(service: &Node) -> Vec<DraftCall> {
        let mut calls = Vec::new();
        for (key, strength) in [
            ("links", Strength::Stated),
            ("depends_on", Strength::Depends),
        ] {
            let Some(node) = service.get(key) else {
                continue;
            };
            // `links` may say `service:alias`.
            let listed = node.list().iter().filter_map(|entry| {
                let name = entry.text()?.split(':').next()?;
                Some((name.to_owned(), entry.line))
            });
            let tabled = node
                .table()
                .iter()
                .map(|(name, entry)| (name.clone(), entry.line));
            calls.extend(
                listed
                    .chain(tabled)
                    .map(|(to, line)| DraftCall { strength, to, line }),
            );
        }
        calls
    }

    /// Named volumes; what is mounted from the machine's own files is configuration as a rule.
    fn volumes(&self, service: &Node) -> Vec<DraftVolume> {
        let named = self.root.get("volumes");
        service
            .list_at(&["volumes"])
            .iter()
            .filter_map(|entry| {
                let name = match entry.text() {
                    Some(text) => text.split(':').next()?,
                    None if entry.text_at(&["type"]) == Some("volume") => {
                        entry.text_at(&["source"])?
                    }
                    None => return None,
                };
                let volume = named?
                    .get(name)
                    .or_else(|| named?.get(&interpolated(name)))?;
                let size = volume.text_at(&["driver_opts", "size"]);
                Some(DraftVolume {
                    name: interpolated(name),
                    capacity_gib: size.and_then(compose_gib),
                })
            })
            .collect()
    }
}
