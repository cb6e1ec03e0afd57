//! What a component may import, and what it may not.

use thiserror::Error;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::contract::{self, PACKAGE, VERSION};
use super::engine::Engine;
use super::host::Host;
use super::imports;

/// An import that a component does not get.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ImportError {
    /// It is not Wasmill's, and nobody granted it.
    #[error("imports {0}, which this pipeline does not grant")]
    NotGranted(String),
    /// It is of another version of the contract.
    #[error("imports {0}, but this Wasmill has version {VERSION}: {advice}", advice = contract::advice(.0))]
    Version(String),
    /// It is not part of the contract.
    #[error("imports {0}, which this Wasmill does not have: run a newer one, or build it with an older SDK")]
    Interface(String),
    /// The interface has no such function.
    #[error(
        "imports `{function}` of {interface}, which this Wasmill does not have: run a newer one, or build it with an older SDK"
    )]
    Function {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
    },
    /// A type is another one than the contract has.
    #[error("imports something with other types than {PACKAGE}*@{VERSION} has: {0}")]
    Types(String),
}

/// The interfaces that the host implements, each with its functions. Those without any hold types.
const INTERFACES: [(&str, &[&str]); 8] = [
    ("types", &[]),
    ("lifecycle", &[]),
    ("output", &["emit"]),
    ("state", &["get", "put", "delete", "scan", "delete-range", "get-many", "put-many"]),
    ("timers", &["set", "cancel", "set-many"]),
    ("origin", &["topic", "offsets", "watermarks"]),
    ("metrics", &["add", "set", "observe"]),
    ("logging", &["enabled", "log"]),
];

/// Binds a component to the host. What it imports is looked at by name first, so that a refusal can name it.
///
/// Whatever else is granted one day (an empty WASI for languages that cannot do without) is let through by
/// [`check_import`] and added to the linker here.
pub(super) fn link(engine: &Engine, component: &Component) -> Result<InstancePre<Host>, ImportError> {
    for (name, import) in component.component_type().imports(engine.inner()) {
        check_import(engine, name, &import.ty)?;
    }
    let mut linker = Linker::new(engine.inner());
    imports::add(&mut linker)
        .and_then(|()| linker.instantiate_pre(component))
        .map_err(|error| ImportError::Types(format!("{error:#}")))
}

fn check_import(engine: &Engine, name: &str, item: &ComponentItem) -> Result<(), ImportError> {
    let Some((interface, _)) = name.strip_prefix(PACKAGE).and_then(|name| name.split_once('@')) else {
        return Err(ImportError::NotGranted(name.into()));
    };
    if contract::is_of_another_track(name) {
        return Err(ImportError::Version(name.into()));
    }
    let Some((_, functions)) = INTERFACES.iter().find(|(known, _)| *known == interface) else {
        return Err(ImportError::Interface(name.into()));
    };
    let ComponentItem::ComponentInstance(instance) = item else { return Err(ImportError::Interface(name.into())) };
    for (function, item) in instance.exports(engine.inner()) {
        if matches!(item.ty, ComponentItem::ComponentFunc(_)) && !functions.contains(&function) {
            return Err(ImportError::Function { interface: name.into(), function: function.into() });
        }
    }
    Ok(())
}
