//! The generated bindings: a part for each exported interface, so that worlds share types, imports and `lifecycle`.
//!
//! A world of the contract is the union of its parts: [`operator`] with [`transformer`] is `transform`, with
//! [`processor`] it is `process`. Each part's export macro leaves a custom section with its types in the module; the
//! componentizer joins the sections and drops the imports that nothing calls.

/// What every operator has: `lifecycle`, and the imports of all worlds.
pub mod operator {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package wasmill:sdk-operator;
            world operator {
                import wasmill:plugin/output@0.1.0;
                import wasmill:plugin/logging@0.1.0;
                import wasmill:plugin/metrics@0.1.0;
                import wasmill:plugin/origin@0.1.0;
                export wasmill:plugin/lifecycle@0.1.0;
            }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "wasmill_sdk::bindings::operator",
    });
}

/// What a stateless operator has besides.
pub mod transformer {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package wasmill:sdk-transformer;
            world transformer {
                export wasmill:plugin/transformer@0.1.0;
            }
        ",
        with: { "wasmill:plugin/types@0.1.0": crate::bindings::operator::wasmill::plugin::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "wasmill_sdk::bindings::transformer",
    });
}

/// What a keyed operator has besides.
pub mod processor {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package wasmill:sdk-processor;
            world processor {
                import wasmill:plugin/state@0.1.0;
                import wasmill:plugin/timers@0.1.0;
                export wasmill:plugin/processor@0.1.0;
            }
        ",
        with: { "wasmill:plugin/types@0.1.0": crate::bindings::operator::wasmill::plugin::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "wasmill_sdk::bindings::processor",
    });
}
