//! What a component exports, and so what role it has.

use thiserror::Error;
use wasmill_core::operator::Role;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Func, Instance};

use super::call::Functions;
use super::contract::{self, PACKAGE, VERSION};
use super::engine::Engine;
use super::host::Host;

/// A component that is in no role that the host knows.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ExportError {
    /// It exports nothing that the host calls.
    #[error("is of the wrong world: exports {0}, but none of transformer, processor")]
    World(String),
    /// It is of another version of the contract.
    #[error("exports {0}, but this Wasmill has version {VERSION}: {advice}", advice = contract::advice(.0))]
    Version(String),
    /// It exports more than one role.
    #[error("is of the wrong world: exports {0}, but a plugin has one role only")]
    Roles(String),
    /// It has a role that is still to come.
    #[error("is of a world that is not supported yet: exports {0}; of the roles, transformer and processor are")]
    Unsupported(String),
    /// Something of its world is missing.
    #[error("is of the wrong world: exports no `{function}` in {interface}")]
    Missing {
        /// The interface.
        interface: String,
        /// The function.
        function: &'static str,
    },
    /// A function has other types than the contract has.
    #[error("exports something with other types than {PACKAGE}*@{VERSION} has: {0}")]
    Types(String),
}

/// Where a component's exports are.
pub(super) struct Exports {
    pub(super) describe: ComponentExportIndex,
    pub(super) open: ComponentExportIndex,
    role: RoleExports,
}

enum RoleExports {
    Transform { process: ComponentExportIndex },
    Process { process: ComponentExportIndex, on_timers: ComponentExportIndex },
}

impl Exports {
    /// Looks for the role of a component.
    pub(super) fn of(engine: &Engine, component: &Component) -> Result<Self, ExportError> {
        let role = match role(engine, component)? {
            Role::Transform => RoleExports::Transform { process: find(component, "transformer", "process")? },
            Role::Process => RoleExports::Process {
                process: find(component, "processor", "process")?,
                on_timers: find(component, "processor", "on-timers")?,
            },
        };
        let [describe, open] = ["describe", "open"].map(|function| find(component, "lifecycle", function));
        Ok(Self { describe: describe?, open: open?, role })
    }

    pub(super) fn role(&self) -> Role {
        match self.role {
            RoleExports::Transform { .. } => Role::Transform,
            RoleExports::Process { .. } => Role::Process,
        }
    }

    /// The functions of the role in an instance of the component.
    pub(super) fn functions(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Functions> {
        match &self.role {
            RoleExports::Transform { process } => Ok(Functions::Transform { process: func(store, instance, process)? }),
            RoleExports::Process { process, on_timers } => {
                let (process, on_timers) = (func(store, instance, process)?, func(store, instance, on_timers)?);
                Ok(Functions::Process { process, on_timers })
            }
        }
    }
}

/// A function of an instance.
pub(super) fn func(
    store: &mut Store<Host>,
    instance: &Instance,
    index: &ComponentExportIndex,
) -> wasmtime::Result<Func> {
    instance.get_func(store, index).ok_or_else(|| wasmtime::Error::msg("an exported function is gone"))
}

fn role(engine: &Engine, component: &Component) -> Result<Role, ExportError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine.inner()).map(|(name, _)| name).collect();
    if let Some(other) = exports.iter().find(|export| contract::is_of_another_track(export)) {
        return Err(ExportError::Version((*other).to_owned()));
    }
    let exported = |interface: &str| exports.iter().any(|export| interface_of(export) == Some(interface));
    let all = || if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    let known = [("transformer", Role::Transform), ("processor", Role::Process)];
    let mut roles = known.into_iter().filter(|(interface, _)| exported(interface)).map(|(_, role)| role);
    match (roles.next(), roles.next()) {
        (Some(role), None) => Ok(role),
        (Some(_), Some(_)) => Err(ExportError::Roles(all())),
        (None, _) if ["aggregator", "joiner", "simple-transformer"].into_iter().any(exported) => {
            Err(ExportError::Unsupported(all()))
        }
        (None, _) => Err(ExportError::World(all())),
    }
}

fn interface_of(export: &str) -> Option<&str> {
    export.strip_prefix(PACKAGE)?.split('@').next()
}

fn find(component: &Component, interface: &str, function: &'static str) -> Result<ComponentExportIndex, ExportError> {
    let interface = contract::interface(interface);
    let found = component
        .get_export_index(None, &interface)
        .and_then(|instance| component.get_export_index(Some(&instance), function));
    found.ok_or(ExportError::Missing { interface, function })
}
