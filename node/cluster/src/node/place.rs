//! Who a directory belongs to.

use super::error::NodeError;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use twinscale_meta::stored::v1::{SCHEMA, SchemaRange};
use twinscale_protocol::{ClusterId, NodeId, NodeNumber};

const FILE_NAME: &str = "node.json";

/// Who a directory belongs to, kept in it as `node.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// The cluster.
    pub cluster: ClusterId,
    /// The name in the node's certificate.
    pub name: NodeId,
    /// Tells this directory from an earlier one of the same name.
    pub disk: [u8; 16],
    /// The number that group 0 gave; `None` until it did.
    pub number: Option<NodeNumber>,
    /// The newest start.
    pub incarnation: u64,
    /// The node began to found its cluster and does not know that it has: until then the file says so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub founding: bool,
    /// The cluster's schema gate, as last kept here; the first one is not written, since every program
    /// knows it.
    #[serde(default = "first_schema", skip_serializing_if = "is_first_schema")]
    pub schema: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

const fn first_schema() -> u32 {
    SCHEMA
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_first_schema(schema: &u32) -> bool {
    *schema == SCHEMA
}

impl NodeFile {
    /// Reads the file of a directory; `None` when it has none.
    ///
    /// # Errors
    /// [`NodeError::File`] and [`NodeError::Damaged`].
    pub fn read(directory: &Path) -> Result<Option<Self>, NodeError> {
        let path = Self::path(directory);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(NodeError::File { path, source }),
        };
        let read = serde_json::from_slice(&text);
        read.map(Some)
            .map_err(|source| NodeError::Damaged { path, source })
    }

    /// Refuses a directory whose cluster has a schema that this program does not know.
    pub(super) fn check_schema(
        &self,
        directory: &Path,
        schemas: SchemaRange,
    ) -> Result<(), NodeError> {
        if schemas.holds(self.schema) {
            return Ok(());
        }
        Err(NodeError::Schema {
            path: directory.to_owned(),
            gate: self.schema,
            oldest: schemas.oldest,
            newest: schemas.newest,
        })
    }

    /// Writes the file durably, in one step.
    ///
    /// # Errors
    /// [`NodeError::File`].
    pub fn write(&self, directory: &Path) -> Result<(), NodeError> {
        let path = Self::path(directory);
        let partial = directory.join("node.json.new");
        let written = serde_json::to_vec_pretty(self)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                let mut file = std::fs::File::create(&partial)?;
                file.write_all(&text)?;
                file.sync_all()?;
                std::fs::rename(&partial, &path)?;
                std::fs::File::open(directory)?.sync_all()
            });
        written.map_err(|source| NodeError::File { path, source })
    }

    fn path(directory: &Path) -> PathBuf {
        directory.join(FILE_NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_knows_its_node_and_damage_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(NodeFile::read(folder.path()).expect("reads"), None);
        let file = NodeFile {
            cluster: ClusterId::new("test").expect("an id"),
            name: NodeId::new("a").expect("an id"),
            disk: [7; 16],
            number: Some(NodeNumber(3)),
            incarnation: 9,
            founding: false,
            schema: SCHEMA,
        };
        file.write(folder.path()).expect("writes");
        let read = NodeFile::read(folder.path()).expect("reads");
        assert_eq!(read, Some(file));
        // What programs wrote and read before there was a gate to keep.
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).expect("reads");
        assert!(!text.contains("schema"), "{text}");
        std::fs::write(folder.path().join(FILE_NAME), "{").expect("writes");
        let damaged = NodeFile::read(folder.path());
        assert!(matches!(damaged, Err(NodeError::Damaged { .. })));
    }

    #[test]
    fn a_directory_of_a_newer_schema_is_refused_by_an_older_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = NodeFile {
            cluster: ClusterId::new("test").expect("an id"),
            name: NodeId::new("a").expect("an id"),
            disk: [7; 16],
            number: Some(NodeNumber(3)),
            incarnation: 9,
            founding: false,
            schema: 2,
        };
        file.write(folder.path()).expect("writes");
        let read = NodeFile::read(folder.path()).expect("reads");
        assert_eq!(read, Some(file.clone()));
        let of = |oldest, newest| {
            let schemas = SchemaRange { oldest, newest };
            file.check_schema(folder.path(), schemas)
        };
        assert!(of(1, 2).is_ok() && of(2, 3).is_ok());
        let newer = of(1, 1).expect_err("it is newer").to_string();
        assert!(
            newer.contains("schema 2") && newer.contains("1 to 1"),
            "{newer}"
        );
        assert!(of(3, 4).is_err(), "nor is one that is too old");
    }
}
