//! Reads configuration files.

use crate::node::NodeSettings;
use crate::policy::PolicyFile;
use crate::stack::StackFile;
use crate::violation::ConfigError;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use toml::Table;

/// Largest file that is read: a thousand customers with ten tiers each fit twice.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads and checks a policy file.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong at once.
pub fn load_policies(path: &Path) -> Result<PolicyFile, ConfigError> {
    PolicyFile::parse(&read_text(path)?, &path.display().to_string())
}

/// Reads and checks a stack file.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong at once.
pub fn load_stacks(path: &Path) -> Result<StackFile, ConfigError> {
    StackFile::parse(&read_text(path)?, &path.display().to_string())
}

/// Reads and checks a node's settings.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong at once.
pub fn load_node(path: &Path) -> Result<NodeSettings, ConfigError> {
    NodeSettings::parse(&read_text(path)?, &path.display().to_string())
}

/// Parses a text as TOML.
///
/// # Errors
/// [`ConfigError::Syntax`] with line and column.
pub fn parse_toml(text: &str, file: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| ConfigError::Syntax {
        file: file.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

/// Reads a text file of at most [`FILE_BYTES_MAX`].
///
/// # Errors
/// [`ConfigError::Read`] or [`ConfigError::TooLarge`].
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        file: path.display().to_string(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut text = String::new();
    // The size of a pipe or device is unknown: read one byte past the limit and see.
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            file: path.display().to_string(),
            bytes: bytes.max(FILE_BYTES_MAX + 1),
            limit: FILE_BYTES_MAX,
        });
    }
    Ok(text)
}
