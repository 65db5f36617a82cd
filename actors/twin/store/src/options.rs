//! Which engine and how much memory.

use std::fmt::{self, Display};

/// The embedded engine under a store on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// sled 0.34: the default.
    #[default]
    Sled,
    /// fjall 3: the spare.
    Fjall,
}

impl EngineKind {
    /// Every engine, for suites that run on all.
    pub const ALL: [Self; 2] = [Self::Sled, Self::Fjall];

    /// Returns the name as the marker file and messages spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }
}

impl Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Limits of one store; [`StoreOptions::default`] suits a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The engine of a store on disk.
    pub engine: EngineKind,
    /// The engine's page or block cache, in bytes.
    pub cache_bytes_max: u64,
    /// How many broken stores are kept beside the live one before the oldest is removed.
    pub set_aside_max: usize,
}

impl Default for StoreOptions {
    /// sled with 64 MiB of cache (its own default is 1 GiB), four broken stores kept for study.
    fn default() -> Self {
        Self {
            engine: EngineKind::default(),
            cache_bytes_max: 64 << 20,
            set_aside_max: 4,
        }
    }
}
