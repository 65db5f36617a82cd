//! Damage to a store on disk.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::deployment::StoreDamage;
use crate::error::ChaosError;

/// Places of a file whose bytes are changed.
const PLACES: u64 = 16;

/// Bytes that are changed at each place.
const BYTES: usize = 64;

/// Damages the store in a directory; no process may have it open.
///
/// # Errors
/// [`ChaosError::NotHere`] when there is none; [`ChaosError::Io`] when it cannot be damaged.
pub fn damage_store(store: &Path, damage: StoreDamage) -> Result<(), ChaosError> {
    let files = files(store)?;
    let Some((largest, length)) = files.iter().max_by_key(|(_, length)| *length) else {
        return Err(ChaosError::NotHere {
            what: "damage to a store".to_owned(),
            because: format!("{} holds no file", store.display()),
        });
    };
    match damage {
        StoreDamage::Lost => {
            fs::remove_dir_all(store).map_err(|error| ChaosError::io("remove", store, error))
        }
        StoreDamage::Corrupted => {
            invert(largest, *length).map_err(|error| ChaosError::io("damage", largest, error))
        }
    }
}

/// How many bytes the files in a directory hold.
///
/// # Errors
/// [`ChaosError::Io`] when it cannot be read.
pub fn store_bytes(store: &Path) -> Result<u64, ChaosError> {
    Ok(files(store)?.iter().map(|(_, length)| length).sum())
}

fn files(directory: &Path) -> Result<Vec<(PathBuf, u64)>, ChaosError> {
    let failed = |error| ChaosError::io("read", directory, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let about = entry.metadata().map_err(failed)?;
        if about.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path(), about.len()));
        }
    }
    Ok(found)
}

fn invert(path: &Path, length: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    for place in 0..PLACES {
        let at = length * place / PLACES;
        let mut bytes = [0; BYTES];
        let read = file.read_at(&mut bytes, at)?;
        for byte in bytes.iter_mut().take(read) {
            *byte = !*byte;
        }
        file.write_all_at(bytes.get(..read).unwrap_or_default(), at)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_lost_or_altered() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        fs::create_dir_all(store.join("inner")).expect("a folder");
        let whole = vec![7_u8; 10_000];
        fs::write(store.join("inner/db"), &whole).expect("written");
        fs::write(store.join("FORMAT"), "1").expect("written");
        assert_eq!(store_bytes(&store).expect("read"), 10_001);
        damage_store(&store, StoreDamage::Corrupted).expect("damaged");
        let found = fs::read(store.join("inner/db")).expect("read");
        let altered = found.iter().zip(&whole).filter(|(one, other)| one != other);
        assert_eq!((found.len(), altered.count()), (10_000, 16 * 64));
        damage_store(&store, StoreDamage::Lost).expect("damaged");
        assert!(!store.exists());
        damage_store(&store, StoreDamage::Lost).expect_err("there is none");
    }
}
