//! From the bytes of a file to a component.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::contract::{self, VERSION};

/// The SHA-256 of a plugin's bytes, as they were handed over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first twelve digits, to name a plugin in a message.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why bytes are no plugin.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// They are something else.
    #[error("is not a WebAssembly component or module: {0}")]
    Alien(String),
    /// They are damaged.
    #[error("is a damaged WebAssembly module: {0}")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// A module that does not say what it imports and exports.
    #[error(
        "is a WebAssembly module without the types of its imports and exports, so not a plugin: build it with a Wasmill SDK"
    )]
    Untyped,
    /// A module that imports from something that no component can import from.
    #[error(
        "imports `{name}` of `{module}`, which does not exist here: build for wasm32-unknown-unknown, with a Wasmill SDK"
    )]
    Import {
        /// Where the function is imported from.
        module: String,
        /// The function.
        name: String,
    },
    /// A module that imports from another version of the contract.
    #[error("imports {0}, but this Wasmill has version {VERSION}: {advice}", advice = contract::advice(.0))]
    Version(String),
    /// A module that is not what it says it is.
    #[error("cannot be made a component: {0}")]
    Encode(String),
}

/// Makes a component of a module that carries its types; a component stays as it is.
pub fn componentize(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ComponentError> {
    if Parser::is_component(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    if !Parser::is_core_wasm(bytes) {
        return Err(ComponentError::Alien(look_of(bytes)));
    }
    check_module(bytes)?;
    let encode = || ComponentEncoder::default().module(bytes)?.validate(true).encode();
    encode().map(Cow::Owned).map_err(|error| ComponentError::Encode(format!("{error:#}")))
}

fn look_of(bytes: &[u8]) -> String {
    match bytes {
        [] => "the file is empty".into(),
        [b'(', ..] => "it is WebAssembly text; make a component of it with `wasm-tools parse`".into(),
        [b'\0', b'a', b's', b'm', ..] => "it has an unknown version of the format".into(),
        _ => format!("it begins with \"{}\"", bytes[..bytes.len().min(8)].escape_ascii()),
    }
}

fn check_module(bytes: &[u8]) -> Result<(), ComponentError> {
    let mut typed = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::CustomSection(section) => typed |= section.name().starts_with("component-type"),
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    if contract::is_of_another_track(import.module) {
                        return Err(ComponentError::Version(import.module.into()));
                    }
                    if !is_typed(import.module) {
                        let (module, name) = (import.module.into(), import.name.into());
                        return Err(ComponentError::Import { module, name });
                    }
                }
            }
            _ => {}
        }
    }
    if typed { Ok(()) } else { Err(ComponentError::Untyped) }
}

/// Whether a module's import is from an interface, or of something that the component model itself provides.
fn is_typed(module: &str) -> bool {
    module.contains(':') || module.starts_with(['$', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plugin_is_called_by_its_name() {
        #[rustfmt::skip]
        let table: [(&[u8], &str); 6] = [
            (b"",                   "is not a WebAssembly component or module: the file is empty"),
            (b"\x7fELF\x02",        "is not a WebAssembly component or module: it begins with \"\\x7fELF\\x02\""),
            (b"(component)",        "is not a WebAssembly component or module: it is WebAssembly text; make a component of it with `wasm-tools parse`"),
            (b"\0asm\x07\0\0\0",    "is not a WebAssembly component or module: it has an unknown version of the format"),
            (b"\0asm\x01\0\0\0",    "is a WebAssembly module without the types of its imports and exports, so not a plugin: build it with a Wasmill SDK"),
            (b"\0asm\x01\0\0\0\x63", "is a damaged WebAssembly module: unexpected end"),
        ];
        for (bytes, expected) in table {
            let message = componentize(bytes).map(drop).map_err(|error| error.to_string());
            assert!(message.as_ref().is_err_and(|message| message.starts_with(expected)), "{message:?}");
        }
    }

    #[test]
    fn a_module_for_another_host_is_told_what_it_lacks() -> Result<(), wat::Error> {
        let bytes = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#)?;
        let message = componentize(&bytes).map(drop).map_err(|error| error.to_string());
        assert!(message.is_err_and(|message| message.starts_with("imports `fd_write` of `wasi_snapshot_preview1`")));
        Ok(())
    }

    #[test]
    fn a_digest_is_told_in_hex() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.short(), "ba7816bf8f01");
    }
}
