//! Compiled plugins, kept on disk so that a warm start compiles nothing.
//!
//! ```text
//! <dir>/<sha256 of the plugin>-<hash of the engine's settings>.cwasm     machine code
//! <dir>/<sha256 of the plugin>-<hash of the engine's settings>.sha256    digest of that file, in hex
//! ```
//!
//! Both are written aside, synced and renamed, the digest last. A file that does not fit its digest is compiled again.
//! Machine code is trusted blindly, so it is only ever made here, in a directory that is nobody else's.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use wasmtime::component::Component;

use super::component::{ComponentError, Digest, componentize};
use super::engine::Engine;

/// A plugin that cannot be compiled, or whose machine code cannot be kept.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The bytes are no plugin.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The component is not valid, or asks for more than the engine has.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// The machine code cannot be written.
    #[error("cannot be kept compiled in {}: {error}", path.display())]
    Write {
        /// The file or the directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// What a cache has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Plugins that were compiled.
    pub compiled: u64,
    /// Plugins whose machine code was found.
    pub found: u64,
    /// Files that did not fit their digest, and were written anew.
    pub damaged: u64,
}

/// Keeps compiled plugins. One plugin is compiled at a time, on all processors, and none twice.
#[derive(Debug)]
pub struct Cache {
    directory: Option<PathBuf>,
    counts: Mutex<Counts>,
}

impl Cache {
    /// The cache in a directory, which is made if it is missing.
    pub fn open(directory: &Path) -> Result<Self, CacheError> {
        let make = || {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        };
        make().map_err(|error| CacheError::Write { path: directory.into(), error })?;
        Ok(Self { directory: Some(directory.into()), counts: Mutex::default() })
    }

    /// A cache that keeps nothing, for a look at a plugin without a data directory.
    pub fn none() -> Self {
        Self { directory: None, counts: Mutex::default() }
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin of some bytes, compiled.
    pub(super) fn component(&self, engine: &Engine, digest: Digest, bytes: &[u8]) -> Result<Component, CacheError> {
        // Held while it compiles: whoever wants the same plugin meanwhile finds it done.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let files = self.directory.as_deref().map(|directory| Files::of(directory, engine, digest));
        match files.as_ref().map_or(Found::Nothing, |files| files.load(engine)) {
            Found::Whole(component) => {
                counts.found += 1;
                return Ok(component);
            }
            Found::Damaged => counts.damaged += 1,
            Found::Nothing => {}
        }
        let component = Component::new(engine.inner(), componentize(bytes)?)
            .map_err(|error| CacheError::Compile(format!("{error:#}")))?;
        counts.compiled += 1;
        if let Some(files) = files {
            files.keep(&component)?;
        }
        Ok(component)
    }
}

enum Found {
    Nothing,
    Damaged,
    Whole(Component),
}

/// The files of one plugin under the settings of one engine.
struct Files {
    code: PathBuf,
    digest: PathBuf,
}

impl Files {
    fn of(directory: &Path, engine: &Engine, digest: Digest) -> Self {
        let mut settings = DefaultHasher::new();
        engine.inner().precompile_compatibility_hash().hash(&mut settings);
        let stem = format!("{digest}-{:016x}", settings.finish());
        Self { code: directory.join(format!("{stem}.cwasm")), digest: directory.join(format!("{stem}.sha256")) }
    }

    fn load(&self, engine: &Engine) -> Found {
        let (Ok(code), Ok(digest)) = (fs::read(&self.code), fs::read(&self.digest)) else { return Found::Nothing };
        if Digest::of(&code).to_string().as_bytes() != digest {
            return Found::Damaged;
        }
        // SAFETY: the file is one that `keep` wrote, with the same engine settings: its bytes have the digest that was
        // written beside it after it was compiled. The directory is ours alone, so nobody swaps or changes the file
        // between that check and the end of its mapping; this process replaces files by renaming, which leaves a
        // mapping as it is.
        let component = unsafe { Component::deserialize_file(engine.inner(), &self.code) };
        component.map_or(Found::Damaged, Found::Whole)
    }

    fn keep(&self, component: &Component) -> Result<(), CacheError> {
        let code = component.serialize().map_err(|error| CacheError::Compile(format!("{error:#}")))?;
        write(&self.code, &code)?;
        write(&self.digest, Digest::of(&code).to_string().as_bytes())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let aside = path.with_extension("new");
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| CacheError::Write { path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const PLUGIN: &[u8] = b"\0asm\x0d\0\x01\0";

    fn file(directory: &Path, extension: &str) -> io::Result<PathBuf> {
        let mut files = fs::read_dir(directory)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        files.find(|path| path.extension().is_some_and(|e| e == extension)).ok_or(io::ErrorKind::NotFound.into())
    }

    fn load(directory: &Path) -> Result<Counts, CacheError> {
        let (engine, cache) = (Engine::new(), Cache::open(directory)?);
        let engine = engine.map_err(|error| CacheError::Compile(error.to_string()))?;
        (0..2).try_for_each(|_| cache.component(&engine, Digest::of(PLUGIN), PLUGIN).map(drop))?;
        Ok(cache.counts())
    }

    #[test]
    fn a_warm_start_compiles_nothing() -> Tested {
        let directory = tempfile::tempdir()?;
        let plugins = directory.path().join("plugins");
        assert_eq!(load(&plugins)?, Counts { compiled: 1, found: 1, damaged: 0 });
        assert_eq!(load(&plugins)?, Counts { compiled: 0, found: 2, damaged: 0 });
        assert_eq!(fs::metadata(&plugins)?.permissions().mode() & 0o777, 0o700);
        Ok(())
    }

    #[test]
    fn a_damaged_file_is_compiled_again() -> Tested {
        let directory = tempfile::tempdir()?;
        load(directory.path())?;
        let (code, digest) = (file(directory.path(), "cwasm")?, file(directory.path(), "sha256")?);
        let whole = fs::read(&code)?;
        let flipped: Vec<u8> =
            whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == whole.len() / 2)).collect();
        for (path, bytes) in [(&code, &flipped[..]), (&code, &whole[..9]), (&code, b""), (&digest, b"0")] {
            fs::write(path, bytes)?;
            assert_eq!(load(directory.path())?, Counts { compiled: 1, found: 1, damaged: 1 });
        }
        fs::remove_file(&digest)?;
        assert_eq!(load(directory.path())?, Counts { compiled: 1, found: 1, damaged: 0 });
        Ok(())
    }
}
