//! `twinscale ca show`: whom certificates speak for, and until when.

use super::{print_json, refused};
use crate::console;
use crate::error::ExpectedError;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::error::Error as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinscale_wire::ca::{
    CertificateAuthority, CertificateSubject, CertificateSummary, read_certificates,
};
use twinscale_wire::{CredentialFiles, Credentials, TimeProvider};

const DAY_S: i64 = 86_400;

/// Shows what certificates say.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    /// A PEM file, the folder of an authority, or the folder of a node or an account.
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Print what they say as JSON.
    #[arg(long)]
    json: bool,
}

/// What is shown of a certificate.
#[derive(Debug, Serialize)]
pub(super) struct CertificateLine {
    /// `node/a`, `operator/alice`, `viewer/bob`, or the authority's common name.
    who: String,
    /// `node`, `operator`, `viewer`, `authority` or `unknown`.
    role: &'static str,
    cluster: Option<String>,
    issuer: Option<String>,
    not_before: String,
    not_after: String,
    /// Days of validity that are left, rounded down; below 0 when it has ended.
    days_left: i64,
}

#[derive(Debug, Serialize)]
struct AuthorityShown {
    directory: PathBuf,
    cluster: String,
    rotation: String,
    next_step: String,
    signing: CertificateLine,
    trusted: Vec<CertificateLine>,
}

#[derive(Debug, Serialize)]
struct FolderShown {
    directory: PathBuf,
    certificate: Vec<CertificateLine>,
    trusted: Vec<CertificateLine>,
    /// Why a node would refuse the folder.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct FileShown {
    file: PathBuf,
    certificates: Vec<CertificateLine>,
}

pub(super) fn run(arguments: &ShowArguments, time: &Arc<dyn TimeProvider>) -> anyhow::Result<()> {
    let ShowArguments { path, json } = arguments;
    if CertificateAuthority::is_in(path) {
        let ca = CertificateAuthority::open(path, Arc::clone(time)).map_err(unread)?;
        return print_authority(path, &ca, time, *json);
    }
    if path.is_dir() {
        return print_folder(path, time, *json);
    }
    let shown = FileShown {
        file: path.clone(),
        certificates: lines(&read_certificates(path).map_err(unread)?, time),
    };
    if *json {
        return print_json(&shown);
    }
    let rows: Vec<_> = named("certificate", &shown.certificates).collect();
    console::print(&table(&rows))?;
    Ok(())
}

/// Prints an authority: where its rotation is, who signs, who is trusted.
pub(super) fn print_authority(
    dir: &Path,
    ca: &CertificateAuthority,
    time: &Arc<dyn TimeProvider>,
    json: bool,
) -> anyhow::Result<()> {
    let rotation = ca.rotation().map_err(unread)?;
    let shown = AuthorityShown {
        directory: dir.to_owned(),
        cluster: ca.cluster().to_string(),
        rotation: rotation.to_string(),
        next_step: rotation.next().to_string(),
        signing: CertificateLine::new(&ca.signing().map_err(unread)?, time),
        trusted: lines(&ca.trusted().map_err(unread)?, time),
    };
    if json {
        return print_json(&shown);
    }
    let signing = std::iter::once(("signing", &shown.signing));
    let rows: Vec<_> = signing.chain(named("trusted", &shown.trusted)).collect();
    console::print(&format!(
        "authority of cluster {} (rotation: {}, next step: {})\n{}",
        shown.cluster,
        shown.rotation,
        shown.next_step,
        table(&rows)
    ))?;
    Ok(())
}

fn print_folder(dir: &Path, time: &Arc<dyn TimeProvider>, json: bool) -> anyhow::Result<()> {
    let files = CredentialFiles::in_dir(dir);
    if !files.certificate.exists() {
        let context = format!(
            "{} holds neither certificate.pem nor the signing.pem of an authority",
            dir.display()
        );
        let hint = "name a PEM file, or make an authority with: twinscale ca init DIR --cluster ID";
        return Err(ExpectedError::input_hint(context, hint).into());
    }
    let shown = FolderShown {
        directory: dir.to_owned(),
        certificate: lines(
            &read_certificates(&files.certificate).map_err(unread)?,
            time,
        ),
        trusted: lines(&read_certificates(&files.trusted).map_err(unread)?, time),
        problem: Credentials::load(files, Arc::clone(time))
            .err()
            .map(|error| match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            }),
    };
    if json {
        print_json(&shown)?;
    } else {
        let rows: Vec<_> = named("certificate", &shown.certificate)
            .chain(named("trusted", &shown.trusted))
            .collect();
        console::print(&table(&rows))?;
    }
    match shown.problem {
        None => Ok(()),
        Some(problem) => Err(ExpectedError::input_hint(
            format!("a node would refuse {}: {problem}", dir.display()),
            "issue the certificate again: twinscale ca issue DIR WHO --out DIR",
        )
        .into()),
    }
}

fn unread(error: twinscale_wire::ca::CaError) -> ExpectedError {
    refused("nothing can be shown", error)
}

fn lines(found: &[CertificateSummary], time: &Arc<dyn TimeProvider>) -> Vec<CertificateLine> {
    found
        .iter()
        .map(|one| CertificateLine::new(one, time))
        .collect()
}

fn named<'a>(
    place: &'static str,
    lines: &'a [CertificateLine],
) -> impl Iterator<Item = (&'static str, &'a CertificateLine)> {
    lines.iter().map(move |line| (place, line))
}

impl CertificateLine {
    pub(super) fn new(found: &CertificateSummary, time: &Arc<dyn TimeProvider>) -> Self {
        let now = time.current_time().map_or(0, |now| now.as_secs());
        let left = found.not_after - i64::try_from(now).unwrap_or(i64::MAX);
        let name = found.common_name.as_deref().map(printable);
        let (who, role, cluster) = match &found.subject {
            CertificateSubject::Authority(cluster) => {
                let who = name.unwrap_or_else(|| "an authority".to_owned());
                (who, "authority", Some(cluster.to_string()))
            }
            CertificateSubject::Identity(cluster, identity) => {
                let role = match identity {
                    twinscale_wire::Identity::Node(_) => "node",
                    twinscale_wire::Identity::Operator(_) => "operator",
                    twinscale_wire::Identity::Viewer(_) => "viewer",
                };
                (identity.to_string(), role, Some(cluster.to_string()))
            }
            CertificateSubject::Unknown(_) => {
                (name.unwrap_or_else(|| "nobody".to_owned()), "unknown", None)
            }
        };
        Self {
            who,
            role,
            cluster,
            issuer: found.issuer.as_deref().map(printable),
            not_before: date(found.not_before),
            not_after: date(found.not_after),
            days_left: left.div_euclid(DAY_S),
        }
    }
}

/// Says in a sentence's words whose a certificate is.
pub(super) fn whose(found: &CertificateSummary) -> String {
    match &found.subject {
        CertificateSubject::Authority(cluster) => format!("the authority of cluster {cluster}"),
        CertificateSubject::Identity(cluster, identity) => {
            format!("{identity} of cluster {cluster}")
        }
        CertificateSubject::Unknown(_) => "somebody that is not of a cluster".to_owned(),
    }
}

/// Aligns certificates in columns; the first one says where each was found.
pub(super) fn table(rows: &[(&str, &CertificateLine)]) -> String {
    let mut text = format!(
        "{:<12} {:<10} {:<54} {:<20} {:<21} {:>9}\n",
        "WHERE", "ROLE", "WHO", "CLUSTER", "VALID UNTIL", "DAYS LEFT"
    );
    for (place, line) in rows {
        let cluster = line.cluster.as_deref().unwrap_or("-");
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{place:<12} {:<10} {:<54} {cluster:<20} {:<21} {:>9}",
            line.role, line.who, line.not_after, line.days_left
        );
    }
    text
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |at| at.to_string())
}

/// A name from a file of somebody else's must not steer the terminal.
fn printable(name: &str) -> String {
    name.chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect()
}
