//! The functions that the host gives: the imports in a component, those of [`testing`](crate::testing) elsewhere.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::{
    operator::wasmill::plugin::{logging, metrics, origin, output},
    processor::wasmill::plugin::{state, timers},
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{logging, metrics, origin, output, state, timers};
