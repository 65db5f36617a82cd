//! The folders of a cluster on one machine: authority, certificates, keys of gossip, settings.

use crate::error::ExpectedError;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};
use twinscale_membership::ClusterKey;
use twinscale_protocol::ClusterId;
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{DefaultTimeProvider, Identity};

/// The file that says what was laid out.
pub const LAYOUT_FILE: &str = "cluster.json";

/// How often a free port is looked for.
const PORT_TRIES: usize = 1_000;

/// What is laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutOptions {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Its nodes.
    pub nodes: u16,
    /// Replicas of each shard; odd.
    pub replication: u8,
    /// Shards; `None` = the default.
    pub shards: Option<u32>,
    /// The address of each node, the first first; loopback where it is empty.
    pub addresses: Vec<IpAddr>,
    /// The address of the simulated cloud.
    pub cloud: IpAddr,
    /// More keys of the section `[node]` of every node.
    pub node_keys: Table,
}

/// A cluster on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Replicas of each shard.
    pub replication: u8,
    /// Where its simulated cloud listens.
    pub cloud: SocketAddr,
    /// Its nodes.
    pub nodes: Vec<NodeLayout>,
    /// The folder with an operator's certificate.
    pub operator: PathBuf,
    /// The folder with a viewer's certificate.
    pub viewer: PathBuf,
    /// The folder of the simulated cloud.
    pub cloud_dir: PathBuf,
}

/// A node of a cluster on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLayout {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its settings.
    pub settings: PathBuf,
    /// Its data.
    pub data_dir: PathBuf,
    /// Where its API listens.
    pub api: SocketAddr,
    /// Where it listens for other nodes.
    pub peer: SocketAddr,
}

impl NodeLayout {
    /// Where what it says is kept.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }
}

impl Layout {
    /// The arguments by which a command asks the nodes as an operator.
    #[must_use]
    pub fn operator_arguments(&self) -> Vec<String> {
        let who = [
            "--certificates".to_owned(),
            self.operator.display().to_string(),
        ];
        let nodes = self.nodes.iter();
        let nodes = nodes.flat_map(|node| {
            let place = format!("{}={}", node.name, node.peer);
            ["--node".to_owned(), place]
        });
        who.into_iter().chain(nodes).collect()
    }

    /// Reads what was laid out in a folder; `None` when nothing was.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, ExpectedError> {
        let path = dir.join(LAYOUT_FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                let context = format!("{} is not what dev writes", path.display());
                ExpectedError::input(context, error)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ExpectedError::file("read", &path, source)),
        }
    }

    /// Lays a cluster out in a folder that has none.
    ///
    /// # Errors
    /// When a file cannot be written, or no port is free.
    pub fn write(dir: &Path, options: &LayoutOptions) -> anyhow::Result<Self> {
        make_dir(dir)?;
        let dir = std::path::absolute(dir)?;
        let time = Arc::new(DefaultTimeProvider);
        let ca =
            CertificateAuthority::init(&dir.join("ca"), &options.cluster, AUTHORITY_VALIDITY, time)
                .map_err(|error| ExpectedError::input("no authority was made", error))?;
        let keys = dir.join("gossip.keys");
        write_secret(&keys, &format!("{}\n", *ClusterKey::draw_hex()?))?;
        let cloud = free_address(options.cloud)?;
        let mut layout = Self {
            cluster: options.cluster.clone(),
            replication: options.replication,
            cloud,
            nodes: Vec::new(),
            operator: dir.join("operator"),
            viewer: dir.join("viewer"),
            cloud_dir: dir.join("cloud"),
        };
        for number in 1..=options.nodes {
            layout.nodes.push(place(&dir, options, number)?);
        }
        for node in &layout.nodes {
            make_dir(&node.dir)?;
            issue(
                &ca,
                &format!("node/{}", node.name),
                &node.dir.join("certificates"),
            )?;
            let text = layout.settings_of(node, &keys, options).to_string();
            std::fs::write(&node.settings, text)
                .map_err(|source| ExpectedError::file("write", &node.settings, source))?;
        }
        issue(&ca, "operator/dev", &layout.operator)?;
        issue(&ca, "viewer/dev", &layout.viewer)?;
        let path = dir.join(LAYOUT_FILE);
        let text = serde_json::to_string_pretty(&layout)?;
        std::fs::write(&path, text)
            .map_err(|source| ExpectedError::file("write", &path, source))?;
        Ok(layout)
    }

    fn settings_of(&self, node: &NodeLayout, keys: &Path, options: &LayoutOptions) -> Table {
        let text = |path: &Path| Value::from(path.display().to_string());
        let others = self.nodes.iter().filter(|other| other.name != node.name);
        let seeds = others.map(|other| (other.name.clone(), Value::from(other.peer.to_string())));
        let mut own = options.node_keys.clone();
        own.insert("name".to_owned(), Value::from(node.name.clone()));
        own.insert("data_dir".to_owned(), text(&node.data_dir));
        own.insert("listen".to_owned(), Value::from(node.api.to_string()));
        let mut cluster = Table::new();
        let mut put = |key: &str, value: Value| cluster.insert(key.to_owned(), value);
        put("listen", Value::from(node.peer.to_string()));
        put("certificates", text(&node.dir.join("certificates")));
        put("gossip_keys", text(keys));
        put("zone", Value::from(format!("zone-{}", node.name)));
        put("replication", Value::from(i64::from(options.replication)));
        put("nodes_expected", Value::from(i64::from(options.nodes)));
        put("cloud", Value::from(format!("http://{}", self.cloud)));
        if let Some(shards) = options.shards {
            put("shards", Value::from(i64::from(shards)));
        }
        put("seeds", Value::from(seeds.collect::<Table>()));
        let mut settings = Table::new();
        settings.insert("node".to_owned(), Value::from(own));
        settings.insert("cluster".to_owned(), Value::from(cluster));
        settings
    }
}

fn place(dir: &Path, options: &LayoutOptions, number: u16) -> anyhow::Result<NodeLayout> {
    let name = format!("node-{number}");
    let dir = dir.join(&name);
    let ip = options.addresses.get(usize::from(number) - 1);
    let ip = ip.copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
    Ok(NodeLayout {
        settings: dir.join("node.toml"),
        data_dir: dir.join("data"),
        api: free_address(ip)?,
        peer: free_address(ip)?,
        name,
        dir,
    })
}

fn make_dir(dir: &Path) -> Result<(), ExpectedError> {
    std::fs::create_dir_all(dir).map_err(|source| ExpectedError::file("create", dir, source))
}

fn issue(ca: &CertificateAuthority, identity: &str, out: &Path) -> anyhow::Result<()> {
    let identity: Identity = identity.parse()?;
    ca.issue(&identity, CERTIFICATE_VALIDITY, out)
        .map_err(|error| ExpectedError::input(format!("no certificate for {identity}"), error))?;
    Ok(())
}

/// Writes a file that only its owner reads.
///
/// # Errors
/// When it is there already or cannot be written.
pub fn write_secret(path: &Path, text: &str) -> Result<(), ExpectedError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| ExpectedError::file("write", path, source))
}

/// A port that is free for both protocols now; the node that gets it is the next to ask for one. An address
/// of another network namespace cannot be tried from here: there the ports are counted up.
///
/// # Errors
/// When the address cannot be had, or no port is free.
pub fn free_address(ip: IpAddr) -> anyhow::Result<SocketAddr> {
    for _ in 0..PORT_TRIES {
        let listener = match TcpListener::bind((ip, 0)) {
            Ok(listener) => listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                return free_address(Ipv4Addr::LOCALHOST.into())
                    .map(|address| SocketAddr::new(ip, address.port()));
            }
            Err(error) => return Err(error.into()),
        };
        let address = listener.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(ExpectedError::Environment {
        context: format!("no port of {ip} is free for TCP and UDP"),
        hint: "end what listens there".to_owned(),
        source: None,
    }
    .into())
}
