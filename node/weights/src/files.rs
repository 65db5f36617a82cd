//! Weights files in a folder: written whole and durably, verified on every load, set aside when broken.

use crate::limits::BROKEN_KEPT_MAX;
use crate::message::Part;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use twinscale_protocol::WeightsId;

/// Ending of a file that is being written.
const PARTIAL: &str = "new";

/// Ending of a file that was set aside.
const BROKEN: &str = "broken";

/// Why a file is not handed out or kept.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not here.
    #[error("no {} here", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is not what it should be; it was set aside.
    #[error("{} is broken and was set aside as {}: it is fetched again", path.display(), aside.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
    },
    /// The disk refused.
    #[error("cannot use {}: look at the disk and the rights of the folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Which file, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// The weights.
    pub id: WeightsId,
    /// Which of their two files.
    pub part: Part,
    /// SHA-256 of it.
    pub digest: [u8; 32],
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The weights files of a node.
#[derive(Clone, Debug)]
pub struct WeightsFiles {
    folder: PathBuf,
}

impl WeightsFiles {
    /// Opens the folder, which is made where it is not there; what was being written is removed.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, FileError> {
        let files = Self {
            folder: folder.into(),
        };
        fs::create_dir_all(&files.folder).map_err(|source| failed(&files.folder, source))?;
        for path in files.paths()? {
            if has_ending(&path, PARTIAL) {
                fs::remove_file(&path).map_err(|source| failed(&path, source))?;
            }
        }
        Ok(files)
    }

    /// The weights whose file is here, verified or not, ascending.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn list(&self) -> Result<Vec<WeightsId>, FileError> {
        let paths = self.paths()?;
        let weights = paths.iter().filter(|path| has_ending(path, "safetensors"));
        let ids = weights.filter_map(|path| WeightsId::new(path.file_stem()?.to_str()?).ok());
        let mut ids: Vec<WeightsId> = ids.collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Reads a file and makes sure that it is what it should be.
    ///
    /// # Errors
    /// [`FileError`]: a broken one is set aside.
    pub fn load(&self, name: &FileName) -> Result<Vec<u8>, FileError> {
        let path = self.path(&name.id, name.part);
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => FileError::Missing { path: path.clone() },
            _ => failed(&path, source),
        };
        let file = File::open(&path).map_err(refused)?;
        let mut bytes = Vec::new();
        // One byte more than is allowed shows that it is too long.
        let mut bounded = file.take(name.part.bytes_max() + 1);
        bounded.read_to_end(&mut bytes).map_err(refused)?;
        if sha256(&bytes) == name.digest {
            return Ok(bytes);
        }
        Err(self.set_aside(path))
    }

    /// Reads a piece of a file, unverified: whoever puts the pieces together verifies the whole.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read_at(
        &self,
        id: &WeightsId,
        part: Part,
        length_at: impl FnOnce(u64) -> (usize, u64),
    ) -> Result<Vec<u8>, FileError> {
        let path = self.path(id, part);
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => FileError::Missing { path: path.clone() },
            _ => failed(&path, source),
        };
        let file = File::open(&path).map_err(refused)?;
        let (length, offset) = length_at(file.metadata().map_err(refused)?.len());
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).map_err(refused)?;
        Ok(bytes)
    }

    /// Keeps weights with their card; once this returns they outlast a loss of power.
    ///
    /// # Errors
    /// [`FileError::Io`]; what was there before stays.
    pub fn store(&self, id: &WeightsId, weights: &[u8], card: &[u8]) -> Result<(), FileError> {
        // The weights come last: where they are, the card is.
        for (part, bytes) in [(Part::Card, card), (Part::Weights, weights)] {
            let path = self.path(id, part);
            let partial = path.with_added_extension(PARTIAL);
            write(&partial, bytes)
                .and_then(|()| fs::rename(&partial, &path))
                .and_then(|()| self.sync_names())
                .map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }

    /// Removes the files of weights.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn remove(&self, id: &WeightsId) -> Result<(), FileError> {
        for part in [Part::Weights, Part::Card] {
            let path = self.path(id, part);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&path, source));
                }
                _ => {}
            }
        }
        self.sync_names()
            .map_err(|source| failed(&self.folder, source))
    }

    fn path(&self, id: &WeightsId, part: Part) -> PathBuf {
        let ending = match part {
            Part::Weights => "safetensors",
            Part::Card => "json",
        };
        self.folder.join(format!("{id}.{ending}"))
    }

    fn paths(&self) -> Result<Vec<PathBuf>, FileError> {
        let refused = |source| failed(&self.folder, source);
        let entries = fs::read_dir(&self.folder).map_err(refused)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(refused));
        let mut paths = paths.collect::<Result<Vec<PathBuf>, FileError>>()?;
        paths.sort_unstable();
        Ok(paths)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Puts a broken file out of the way, for whoever looks why.
    fn set_aside(&self, path: PathBuf) -> FileError {
        let broken = self.paths().unwrap_or_default();
        let mut broken: Vec<PathBuf> = broken
            .into_iter()
            .filter(|path| has_ending(path, BROKEN))
            .collect();
        while broken.len() >= BROKEN_KEPT_MAX
            && let Some(oldest) = broken.pop()
        {
            if let Err(source) = fs::remove_file(&oldest) {
                return failed(&oldest, source);
            }
        }
        let aside = path.with_added_extension(BROKEN);
        match fs::rename(&path, &aside) {
            Ok(()) => FileError::Broken { path, aside },
            Err(source) => failed(&path, source),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn failed(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    FileError::Io { path, source }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn id(name: &str) -> WeightsId {
        WeightsId::new(name).expect("an id")
    }

    fn named(part: Part, bytes: &[u8]) -> FileName {
        FileName {
            id: id("abc"),
            part,
            digest: sha256(bytes),
        }
    }

    #[test]
    fn files_come_back_as_they_were_and_half_written_ones_are_gone() {
        let folder = TempDir::new().expect("a folder");
        let place = folder.path().join("weights");
        let files = WeightsFiles::open(&place).expect("made");
        files.store(&id("abc"), b"weights", b"{}").expect("kept");
        fs::write(place.join("abd.safetensors.new"), b"half").expect("written");
        let files = WeightsFiles::open(&place).expect("opens again");
        assert_eq!(files.list().expect("listed"), [id("abc")]);
        let weights = named(Part::Weights, b"weights");
        assert_eq!(files.load(&weights).expect("sound"), b"weights");
        assert_eq!(files.load(&named(Part::Card, b"{}")).expect("sound"), b"{}");
        assert!(!place.join("abd.safetensors.new").exists());
        let piece = files.read_at(&id("abc"), Part::Weights, |total| {
            assert_eq!(total, 7);
            (3, 2)
        });
        assert_eq!(piece.expect("read"), b"igh");
        let behind = files.read_at(&id("abc"), Part::Weights, |_| (3, 6));
        assert!(matches!(behind, Err(FileError::Io { .. })));
        files.remove(&id("abc")).expect("removed");
        files.remove(&id("abc")).expect("gone already");
        assert!(matches!(
            files.load(&weights),
            Err(FileError::Missing { .. })
        ));
    }

    #[test]
    fn a_broken_file_is_set_aside_and_can_be_brought_again() {
        let folder = TempDir::new().expect("a folder");
        let files = WeightsFiles::open(folder.path()).expect("made");
        let path = folder.path().join("abc.safetensors");
        let name = named(Part::Weights, b"weights");
        for round in 0..2 * BROKEN_KEPT_MAX {
            files.store(&id("abc"), b"weights", b"{}").expect("kept");
            fs::write(&path, b"weighty").expect("spoilt");
            let error = files.load(&name).expect_err("broken");
            assert!(
                matches!(error, FileError::Broken { .. }),
                "{round}: {error}"
            );
            assert_eq!(files.list().expect("listed"), []);
        }
        files.store(&id("abc"), b"weights", b"{}").expect("kept");
        assert_eq!(files.load(&name).expect("sound"), b"weights");
        // Longer than any may be.
        let file = File::create(&path).expect("opened");
        file.set_len(Part::Weights.bytes_max() + 10).expect("grown");
        assert!(matches!(files.load(&name), Err(FileError::Broken { .. })));
    }
}
