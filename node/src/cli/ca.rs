//! `twinscale ca`: a certificate authority for development and trials.

mod show;

use crate::console;
use crate::dev::layout::write_secret;
use crate::error::ExpectedError;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use show::{CertificateLine, ShowArguments};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use twinscale_membership::ClusterKey;
use twinscale_protocol::ClusterId;
use twinscale_wire::ca::{
    AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CaError, CertificateAuthority, CertificateSubject,
    RotationStep, read_certificates,
};
use twinscale_wire::{CredentialFiles, DefaultTimeProvider, Identity, TimeProvider};

const DAY: Duration = Duration::from_hours(24);

/// Most days that a certificate can be valid: a century.
const DAYS_MAX: i64 = 36_500;

/// Makes and shows the certificates by which nodes and accounts know each other.
#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Make an authority for a cluster in a folder that has none.
    Init(InitArguments),
    /// Issue the certificate of a node or an account into a folder.
    ///
    /// Writes certificate.pem, key.pem (readable by its owner only) and ca.pem; a certificate of the same
    /// identity that is there is replaced, and the node takes the new one without a restart.
    Issue(IssueArguments),
    /// Make a key that seals gossip, for the file that every node of a cluster has.
    ///
    /// To change the key without an outage: add the new one as the last line on every node, then move it to
    /// the first line, then take the old one out; nodes read the file again by themselves.
    GossipKey(GossipKeyArguments),
    /// Make the next step of a rotation of the authority.
    ///
    /// trust makes a new authority beside the old, sign signs with it, drop trusts the old one no longer.
    /// Each step must have reached every node before the next.
    Rotate(RotateArguments),
    /// Show whom certificates speak for, and until when; an authority's folder shows where a rotation is.
    ///
    /// A node's folder is verified as the node would; ends with 3 when the node would refuse it.
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Folder for the authority; whoever has its signing.pem can be any node.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Id of the cluster.
    #[arg(long, value_name = "ID")]
    cluster: ClusterId,
    #[command(flatten)]
    validity: ValidityArguments,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct IssueArguments {
    /// Folder of the authority.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// For whom: node/ID, operator/NAME or viewer/NAME.
    #[arg(value_name = "WHO")]
    identity: Identity,
    /// Folder for the certificate, one for each identity.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    validity: ValidityArguments,
    /// Print what was issued as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct GossipKeyArguments {
    /// File for the key, readable by its owner only; one that is there is left alone.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    /// Folder of the authority.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The step; `twinscale ca show DIR` tells the next one.
    #[arg(value_enum)]
    step: StepArgument,
    #[command(flatten)]
    validity: ValidityArguments,
    /// Print where the rotation is as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ValidityArguments {
    /// Days of validity; without it an authority has five years and a certificate 90 days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    days: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StepArgument {
    /// Make a new authority and trust it beside the old; the old one signs.
    Trust,
    /// Sign with the new authority; both are trusted.
    Sign,
    /// Trust only the new authority.
    Drop,
}

/// What was issued.
#[derive(Debug, Serialize)]
struct Issued {
    #[serde(flatten)]
    certificate: CertificateLine,
    certificate_file: PathBuf,
    key_file: PathBuf,
    trusted_file: PathBuf,
}

pub(super) fn run(command: &CaCommand, quiet: bool) -> anyhow::Result<()> {
    let time: Arc<dyn TimeProvider> = Arc::new(DefaultTimeProvider);
    match command {
        CaCommand::Init(arguments) => init(arguments, time, quiet),
        CaCommand::Issue(arguments) => issue(arguments, time, quiet),
        CaCommand::GossipKey(arguments) => gossip_key(arguments, quiet),
        CaCommand::Rotate(arguments) => rotate(arguments, time, quiet),
        CaCommand::Show(arguments) => show::run(arguments, &time),
    }
}

fn init(arguments: &InitArguments, time: Arc<dyn TimeProvider>, quiet: bool) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    let validity = arguments.validity.or(AUTHORITY_VALIDITY);
    let ca = CertificateAuthority::init(dir, &arguments.cluster, validity, Arc::clone(&time))
        .map_err(|error| refused("no authority was made", error))?;
    show::print_authority(dir, &ca, &time, arguments.json)?;
    if !quiet {
        console::say(&format!(
            "keep {} to yourself: whoever has it can be any node",
            dir.join("signing.pem").display()
        ));
    }
    Ok(())
}

fn issue(
    arguments: &IssueArguments,
    time: Arc<dyn TimeProvider>,
    quiet: bool,
) -> anyhow::Result<()> {
    let IssueArguments { dir, identity, .. } = arguments;
    let failed = |error| refused(format!("no certificate was issued for {identity}"), error);
    let ca = CertificateAuthority::open(dir, Arc::clone(&time)).map_err(failed)?;
    refuse_other_folders(&arguments.out, identity, ca.cluster())?;
    let validity = arguments.validity.or(CERTIFICATE_VALIDITY);
    let files = ca
        .issue(identity, validity, &arguments.out)
        .map_err(failed)?;
    let mut found = read_certificates(&files.certificate)
        .map_err(failed)?
        .into_iter();
    let Some(certificate) = found.next() else {
        anyhow::bail!("{} was written empty", files.certificate.display());
    };
    let issued = Issued {
        certificate: CertificateLine::new(&certificate, &time),
        certificate_file: files.certificate,
        key_file: files.key,
        trusted_file: files.trusted,
    };
    if arguments.json {
        return print_json(&issued);
    }
    console::print(&show::table(&[("certificate", &issued.certificate)]))?;
    if !quiet {
        console::say(&format!(
            "written to {}: certificate.pem, key.pem, ca.pem",
            arguments.out.display()
        ));
    }
    Ok(())
}

fn gossip_key(arguments: &GossipKeyArguments, quiet: bool) -> anyhow::Result<()> {
    let key = ClusterKey::draw_hex()?;
    let Some(path) = &arguments.out else {
        console::print(&format!("{}\n", *key))?;
        return Ok(());
    };
    write_secret(path, &format!("{}\n", *key))?;
    if !quiet {
        console::say(&format!(
            "written to {}: bring it to every node",
            path.display()
        ));
    }
    Ok(())
}

/// A folder has one identity: what another's key or an authority's certificate was is not overwritten.
fn refuse_other_folders(
    out: &Path,
    identity: &Identity,
    cluster: &ClusterId,
) -> Result<(), ExpectedError> {
    let hint = "choose another folder with --out: one for each identity";
    if CertificateAuthority::is_in(out) {
        let place = out.display();
        let context =
            format!("{place} is the folder of an authority, whose key belongs on no node");
        return Err(ExpectedError::input_hint(context, hint));
    }
    let file = CredentialFiles::in_dir(out).certificate;
    if !file.exists() {
        return Ok(());
    }
    let found = read_certificates(&file).map_err(|error| {
        ExpectedError::input("what is there already cannot be told apart", error)
    })?;
    let wanted = CertificateSubject::Identity(cluster.clone(), identity.clone());
    match found.first() {
        Some(first) if first.subject == wanted => Ok(()),
        first => {
            let holder = first.map(show::whose).unwrap_or_default();
            let context = format!(
                "{} is of {holder}, not of {identity} of cluster {cluster}",
                file.display()
            );
            Err(ExpectedError::input_hint(context, hint))
        }
    }
}

fn rotate(
    arguments: &RotateArguments,
    time: Arc<dyn TimeProvider>,
    quiet: bool,
) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    let failed = |error| refused("the authority was not rotated", error);
    let ca = CertificateAuthority::open(dir, Arc::clone(&time)).map_err(failed)?;
    let step = arguments.step.step();
    ca.rotate(step, arguments.validity.or(AUTHORITY_VALIDITY))
        .map_err(failed)?;
    show::print_authority(dir, &ca, &time, arguments.json)?;
    if !quiet {
        let trusted = dir.join("ca.pem");
        let trusted = trusted.display();
        console::say(&match step {
            RotationStep::Trust => {
                format!("bring {trusted} to every node, then: ca rotate DIR sign")
            }
            RotationStep::Sign => {
                "issue every certificate again, of nodes and accounts, then: ca rotate DIR drop"
                    .to_owned()
            }
            RotationStep::Drop => format!("bring {trusted} to every node; the rotation is done"),
        });
    }
    Ok(())
}

/// The causes name the file and the remedy.
fn refused(context: impl Into<String>, error: CaError) -> ExpectedError {
    ExpectedError::input(context, error)
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    console::print(&format!("{}\n", serde_json::to_string_pretty(value)?))?;
    Ok(())
}

impl ValidityArguments {
    fn or(&self, usual: Duration) -> Duration {
        self.days.map_or(usual, |days| DAY * days)
    }
}

impl StepArgument {
    const fn step(self) -> RotationStep {
        match self {
            Self::Trust => RotationStep::Trust,
            Self::Sign => RotationStep::Sign,
            Self::Drop => RotationStep::Drop,
        }
    }
}
