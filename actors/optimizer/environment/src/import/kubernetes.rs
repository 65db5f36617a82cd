//! Kubernetes manifests: many documents of one or several files.

use crate::import::build::build;
use crate::import::draft::{Draft, DraftCall, DraftTier, DraftVolume, Strength};
use crate::import::environment::names_in;
use crate::import::error::ImportError;
use crate::import::gap::Imported;
use crate::import::image::recognise;
use crate::import::quantity::{cpus, kubernetes_gib};
use crate::import::yaml::{Node, documents};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::CustomerId;

/// Kinds whose pods keep running.
const WORKLOADS: &[&str] = &[
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Pod",
];
/// Kinds whose pods end.
const JOBS: &[&str] = &["Job", "CronJob"];
/// Kinds that are read besides.
const READ: &[&str] = &[
    "Service",
    "Ingress",
    "HTTPRoute",
    "HorizontalPodAutoscaler",
    "PersistentVolumeClaim",
    "ConfigMap",
    "Secret",
    "List",
];

/// Makes a first model of Kubernetes manifests; `file` names them in messages.
///
/// # Errors
/// [`ImportError`] with file and line: no YAML, beyond a bound, a value of another kind than Kubernetes takes,
/// or nothing that keeps running.
pub fn import_kubernetes(
    text: &str,
    file: &str,
    customer: &CustomerId,
) -> Result<Imported, ImportError> {
    let documents = documents(text, file)?;
    let mut objects = Vec::new();
    for document in &documents {
        if document.text_at(&["kind"]) == Some("List") {
            objects.extend(document.list_at(&["items"]));
        } else {
            objects.push(document);
        }
    }
    let bundle = Bundle { file, objects };
    let mut draft = Draft {
        file: file.to_owned(),
        ..Draft::default()
    };
    bundle.note_others(&mut draft);
    let workloads = bundle.workloads();
    for workload in &workloads {
        let tier = bundle.tier(workload, &workloads, &mut draft)?;
        draft.tiers.push(tier);
    }
    if draft.tiers.is_empty() {
        return Err(ImportError::Empty {
            file: file.to_owned(),
            hint: "a Deployment, StatefulSet, DaemonSet or Pod would be a tier",
        });
    }
    build(draft, customer)
}

/// Objects of all documents.
struct Bundle<'a> {
    file: &'a str,
    objects: Vec<&'a Node>,
}

/// An object whose pods keep running.
struct Workload<'a> {
    object: &'a Node,
    /// What pods are made from.
    template: &'a Node,
    /// Its name as a tier.
    tier: String,
}

impl<'a> Bundle<'a> {
    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &'a Node> {
        let objects = self.objects.iter().copied();
        objects.filter(move |object| object.text_at(&["kind"]) == Some(kind))
    }

    fn note_others(&self, draft: &mut Draft) {
        let mut others: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for object in &self.objects {
            let kind = object.text_at(&["kind"]).unwrap_or_default();
            if JOBS.contains(&kind) {
                let text = format!("{kind} {} is left off: its pods end", name_of(object));
                draft.note(object.line, text);
            } else if !WORKLOADS.contains(&kind) && !READ.contains(&kind) && !kind.is_empty() {
                let (count, _) = others.entry(kind).or_insert((0, object.line));
                *count += 1;
            }
        }
        for (kind, (count, line)) in others {
            let kind: String = kind.chars().take(60).collect();
            draft.note(
                line,
                format!("{kind} ({count} of it) says nothing of the stack"),
            );
        }
    }

    fn workloads(&self) -> Vec<Workload<'a>> {
        let objects: Vec<&Node> = self
            .objects
            .iter()
            .copied()
            .filter(|object| {
                let kind = object.text_at(&["kind"]).unwrap_or_default();
                WORKLOADS.contains(&kind)
            })
            .collect();
        objects
            .iter()
            .map(|object| {
                let alike = objects
                    .iter()
                    .filter(|other| name_of(other) == name_of(object));
                let tier = if alike.count() > 1 {
                    format!("{}.{}", namespace_of(object), name_of(object))
                } else {
                    name_of(object).to_owned()
                };
                Workload {
                    object,
                    template: object.at(&["spec", "template"]).unwrap_or(object),
                    tier,
                }
            })
            .collect()
    }

    fn tier(
        &self,
        workload: &Workload<'a>,
        all: &[Workload<'a>],
        draft: &mut Draft,
    ) -> Result<DraftTier, ImportError> {
        let object = workload.object;
        let path = format!(
            "{} {}",
            object.text_at(&["kind"]).unwrap_or_default(),
            workload.tier
        );
        let containers = workload.template.list_at(&["spec", "containers"]);
        if containers.is_empty() {
            let place = workload.template.get("spec").unwrap_or(workload.template);
            return Err(place.wrong(
                self.file,
                &format!("{path}: spec.containers"),
                "a list of containers",
            ));
        }
        let images: Vec<&str> = containers
            .iter()
            .filter_map(|c| c.text_at(&["image"]))
            .collect();
        let known = images.iter().find(|image| recognise(image).is_some());
        let values = self.values(namespace_of(object), containers);
        Ok(DraftTier {
            name: workload.tier.clone(),
            line: object.line,
            image: known.or(images.first()).map(|image| (*image).to_owned()),
            count: self.count(workload, &path, draft)?,
            vcpu: self.sum(containers, "cpu", cpus, &path, "CPUs such as 500m")?,
            memory_gib: self.sum(
                containers,
                "memory",
                kubernetes_gib,
                &path,
                "bytes such as 512Mi",
            )?,
            volumes: self.volumes(workload),
            is_open: self.is_open(workload),
            calls: self.calls(&values, workload, all),
            values: Vec::new(),
        })
    }

    fn count(
        &self,
        workload: &Workload<'a>,
        path: &str,
        draft: &mut Draft,
    ) -> Result<Option<u32>, ImportError> {
        let object = workload.object;
        if object.text_at(&["kind"]) == Some("DaemonSet") {
            draft.note(
                object.line,
                format!("{path}: one at each machine, taken for one"),
            );
            return Ok(None);
        }
        let scaler = self.of_kind("HorizontalPodAutoscaler").find(|scaler| {
            namespace_of(scaler) == namespace_of(object)
                && scaler.text_at(&["spec", "scaleTargetRef", "name"]) == Some(name_of(object))
        });
        let least = scaler.and_then(|scaler| scaler.at(&["spec", "minReplicas"]));
        if let Some(scaler) = scaler {
            let limit = |key| scaler.text_at(&["spec", key]).unwrap_or("1");
            let text = format!(
                "{path} is scaled from {} to {}",
                limit("minReplicas"),
                limit("maxReplicas")
            );
            draft.note(scaler.line, text);
        }
        let Some(node) = object.at(&["spec", "replicas"]).or(least) else {
            // A Pod is one, and a workload without a number is, too.
            return Ok(Some(1));
        };
        match node.text().unwrap_or_default().parse::<u32>() {
            Ok(0) => {
                draft.note(node.line, format!("{path}: none of it runs, taken for one"));
                Ok(None)
            }
            Ok(count) if count <= 1_000_000 => Ok(Some(count)),
            _ => Err(node.wrong(
                self.file,
                &format!("{path}: spec.replicas"),
                "a number of pods up to 1000000",
            )),
        }
    }

    /// Sums a resource over the containers of a pod, by limits, else by requests; `None` where one has neither.
    fn sum(
        &self,
        containers: &[Node],
        resource: &str,
        read: fn(&str) -> Option<f64>,
        path: &str,
        wanted: &'static str,
    ) -> Result<Option<f64>, ImportError> {
        let mut sum = 0.0;
        for container in containers {
            let stated = ["limits", "requests"]
                .iter()
                .find_map(|sort| container.at(&["resources", sort, resource]));
            let Some(node) = stated else {
                return Ok(None);
            };
            sum += node.text().and_then(read).ok_or_else(|| {
                node.wrong(self.file, &format!("{path}: resources {resource}"), wanted)
            })?;
        }
        Ok(Some(sum))
    }

    fn volumes(&self, workload: &Workload<'a>) -> Vec<DraftVolume> {
        let size = |claim: &Node| {
            let text = claim.text_at(&["spec", "resources", "requests", "storage"]);
            text.and_then(kubernetes_gib)
        };
        let templates = workload.object.list_at(&["spec", "volumeClaimTemplates"]);
        let mut volumes: Vec<DraftVolume> = templates
            .iter()
            .map(|claim| DraftVolume {
                name: format!("{}-{}", workload.tier, name_of(claim)),
                capacity_gib: size(claim),
            })
            .collect();
        for volume in workload.template.list_at(&["spec", "volumes"]) {
            let Some(name) = volume.text_at(&["persistentVolumeClaim", "claimName"]) else {
                continue;
            };
            let claim = self.of_kind("PersistentVolumeClaim").find(|claim| {
                name_of(claim) == name && namespace_of(claim) == namespace_of(workload.object)
            });
            volumes.push(DraftVolume {
                name: name.to_owned(),
                capacity_gib: claim.and_then(size),
            });
        }
        volumes
    }

    /// Services that lead to a workload: those whose selector its pods' labels satisfy.
    fn services(&self, workload: &Workload<'a>) -> Vec<&'a Node> {
        let labels = workload.template.at(&["metadata", "labels"]);
        self.of_kind("Service")
            .filter(|service| {
                let selector = service.at(&["spec", "selector"]);
                let selector = selector.map(Node::table).unwrap_or_default();
                namespace_of(service) == namespace_of(workload.object)
                    && !selector.is_empty()
                    && selector.iter().all(|(key, value)| {
                        let label = labels.and_then(|labels| labels.get(key));
                        label.and_then(Node::text) == value.text()
                    })
            })
            .collect()
    }

    fn is_open(&self, workload: &Workload<'a>) -> bool {
        let backends = self.backends();
        self.services(workload).iter().any(|service| {
            let sort = service.text_at(&["spec", "type"]);
            matches!(sort, Some("LoadBalancer" | "NodePort"))
                || backends.contains(&(namespace_of(service), name_of(service)))
        })
    }

    /// Services to which an Ingress or a route sends requests from outside.
    fn backends(&self) -> BTreeSet<(&'a str, &'a str)> {
        let mut found = BTreeSet::new();
        for ingress in self.of_kind("Ingress") {
            let paths = ingress.list_at(&["spec", "rules"]).iter();
            let paths = paths.flat_map(|rule| rule.list_at(&["http", "paths"]));
            let named = paths.filter_map(|path| backend_of(path.get("backend")?));
            let default = ingress
                .at(&["spec", "defaultBackend"])
                .or_else(|| ingress.at(&["spec", "backend"]));
            found.extend(
                named
                    .chain(default.and_then(backend_of))
                    .map(|name| (namespace_of(ingress), name)),
            );
        }
        for route in self.of_kind("HTTPRoute") {
            let rules = route.list_at(&["spec", "rules"]).iter();
            let named = rules
                .flat_map(|rule| rule.list_at(&["backendRefs"]))
                .filter_map(|backend| backend.text_at(&["name"]));
            found.extend(named.map(|name| (namespace_of(route), name)));
        }
        found
    }

    /// Variables and arguments of containers, those from config maps and plain secrets included.
    fn values(&self, namespace: &str, containers: &[Node]) -> Vec<(String, String)> {
        let mut values = Vec::new();
        for container in containers {
            for variable in container.list_at(&["env"]) {
                let name = variable.text_at(&["name"]).unwrap_or_default();
                let value = variable.text_at(&["value"]).or_else(|| {
                    let source = variable.at(&["valueFrom", "configMapKeyRef"]);
                    let source = source.or_else(|| variable.at(&["valueFrom", "secretKeyRef"]))?;
                    let key = source.text_at(&["key"])?;
                    self.entries(namespace, source.text_at(&["name"])?)
                        .find(|(name, _)| name == key)?
                        .1
                        .text()
                });
                values.push((name.to_owned(), value.unwrap_or_default().to_owned()));
            }
            for source in container.list_at(&["envFrom"]) {
                let name = source
                    .text_at(&["configMapRef", "name"])
                    .or_else(|| source.text_at(&["secretRef", "name"]));
                let Some(name) = name else {
                    continue;
                };
                values.extend(self.entries(namespace, name).map(|(name, value)| {
                    (name.clone(), value.text().unwrap_or_default().to_owned())
                }));
            }
            for key in ["command", "args"] {
                let parts = container.list_at(&[key]).iter().filter_map(Node::text);
                values.extend(parts.map(|text| (String::new(), text.to_owned())));
            }
        }
        values
    }

    /// Entries of a config map, or of a secret as far as they are plain.
    fn entries(&self, namespace: &str, name: &str) -> impl Iterator<Item = &'a (String, Node)> {
        let sources = [("ConfigMap", "data"), ("Secret", "stringData")];
        let found: Vec<&'a Node> = sources
            .into_iter()
            .flat_map(|(kind, key)| {
                self.of_kind(kind)
                    .filter(|map| name_of(map) == name && namespace_of(map) == namespace)
                    .filter_map(move |map| map.get(key))
            })
            .collect();
        found.into_iter().flat_map(Node::table)
    }

    fn calls(
        &self,
        values: &[(String, String)],
        workload: &Workload<'a>,
        all: &[Workload<'a>],
    ) -> Vec<DraftCall> {
        let mut targets: Vec<(&str, &str)> = Vec::new();
        // Names within the own namespace go before the same names elsewhere.
        let (here, elsewhere): (Vec<_>, Vec<_>) = all
            .iter()
            .partition(|other| namespace_of(other.object) == namespace_of(workload.object));
        for other in here.into_iter().chain(elsewhere) {
            let services = self.services(other).into_iter().map(name_of);
            targets.extend(services.map(|name| (name, other.tier.as_str())));
        }
        let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
        let mut calls = Vec::new();
        for (variable, value) in values {
            for name in names_in(variable, value, &names) {
                let target = targets.iter().find(|(service, _)| *service == name);
                calls.extend(target.map(|(_, tier)| DraftCall {
                    strength: Strength::Named,
                    to: (*tier).to_owned(),
                    line: workload.object.line,
                }));
            }
        }
        calls
    }
}

fn name_of(object: &Node) -> &str {
    object.text_at(&["metadata", "name"]).unwrap_or_default()
}

fn namespace_of(object: &Node) -> &str {
    object
        .text_at(&["metadata", "namespace"])
        .unwrap_or("default")
}

fn backend_of(backend: &Node) -> Option<&str> {
    backend
        .text_at(&["service", "name"])
        .or_else(|| backend.text_at(&["serviceName"]))
}
