//! The macro that makes a crate a plugin.

/// Makes the crate a plugin: exports its operator, which implements [`Transform`](crate::Transform) or
/// [`Process`](crate::Process), in the world of that name.
///
/// ```
/// # use wasmill_sdk::{Output, Record, Result, Transform};
/// # #[derive(Default)]
/// # struct Forward;
/// # impl Transform for Forward {
/// #     fn process(&mut self, record: Record<'_>, out: &mut Output) -> Result<()> { out.emit(record) }
/// # }
/// wasmill_sdk::export!(transform Forward);
/// # fn main() {}
/// ```
///
/// Once in a crate. The operator's name and version are those of the crate. Where the target is not WebAssembly, as in
/// tests, it is only checked that the operator could be exported.
#[macro_export]
macro_rules! export {
    (transform $operator:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::guest::Describe = $crate::guest::describe::<$crate::guest::Transformer<$operator>>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__lifecycle!($crate::guest::Transformer<$operator>);

            impl $crate::bindings::transformer::exports::wasmill::plugin::transformer::Guest for Plugin {
                fn process(info: types::CallInfo, records: types::Batch) -> Result<types::Outcome, types::Error> {
                    $crate::guest::call(&OPERATOR, |operator| operator.process(info, &records))
                }
            }
            $crate::bindings::transformer::export! { Plugin with_types_in $crate::bindings::transformer }
        };
    };
    (process $operator:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::guest::Describe = $crate::guest::describe::<$crate::guest::Processor<$operator>>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::processor::wasmill::plugin::timers;
            $crate::__lifecycle!($crate::guest::Processor<$operator>);

            impl $crate::bindings::processor::exports::wasmill::plugin::processor::Guest for Plugin {
                fn process(
                    info: types::CallInfo,
                    records: types::Batch,
                    state: types::Slots,
                ) -> Result<types::KeyedOutcome, types::Error> {
                    $crate::guest::call(&OPERATOR, |operator| operator.process(info, &records, &state))
                }

                fn on_timers(
                    info: types::CallInfo,
                    domain: timers::Domain,
                    timers: types::Batch,
                    state: types::Slots,
                ) -> Result<types::KeyedOutcome, types::Error> {
                    $crate::guest::call(&OPERATOR, |operator| operator.on_timers(info, domain, &timers, &state))
                }
            }
            $crate::bindings::processor::export! { Plugin with_types_in $crate::bindings::processor }
        };
    };
}

/// The part of [`export!`] that all worlds share.
#[doc(hidden)]
#[macro_export]
macro_rules! __lifecycle {
    ($operator:ty) => {
        use ::std::result::Result;
        use $crate::bindings::operator::exports::wasmill::plugin::lifecycle;
        use $crate::bindings::operator::wasmill::plugin::types;

        ::std::thread_local! {
            static OPERATOR: ::std::cell::RefCell<::std::option::Option<$operator>> =
                const { ::std::cell::RefCell::new(::std::option::Option::None) };
        }

        struct Plugin;

        impl lifecycle::Guest for Plugin {
            fn describe(settings: ::std::string::String) -> Result<lifecycle::OperatorInfo, types::Error> {
                let (name, version) = (::std::env!("CARGO_PKG_NAME"), ::std::env!("CARGO_PKG_VERSION"));
                $crate::guest::describe::<$operator>(&settings, name, version)
            }

            fn open(settings: ::std::string::String) -> Result<(), types::Error> {
                $crate::guest::open(&OPERATOR, &settings)
            }
        }
        $crate::bindings::operator::export! { Plugin with_types_in $crate::bindings::operator }
    };
}
