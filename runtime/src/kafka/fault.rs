//! Failures of librdkafka, sorted by what the worker must do.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use wasmill_core::port::Fault;

use super::client::Error;
use super::native::producer::Refused;

/// What can be done about a transactional call that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// The same call again.
    Again,
    /// Abort; the same producer goes on.
    Abort,
    /// Abort, with a new producer.
    Replace,
    /// Nothing that a worker could do.
    Give,
}

/// What to do about a transactional call that failed before a commit was sent.
pub(super) fn remedy(refused: &Refused) -> Remedy {
    if is_hopeless(refused.code) {
        Remedy::Give
    } else if refused.fatal {
        Remedy::Replace
    } else if refused.abort {
        Remedy::Abort
    } else if refused.retriable {
        Remedy::Again
    } else {
        Remedy::Replace
    }
}

/// Whether an error is about rights or settings, so that trying again cannot help.
pub(super) fn is_hopeless(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedVersion
            | Code::InvalidTransactionTimeout
            | Code::InvalidConfig
    )
}

/// Whether an error means that the answer did not come in time and may come yet.
pub(super) fn is_passing(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as Code;
    code.is_some_and(|code| {
        matches!(
            code,
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::WaitingForCoordinator
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NetworkException
                | Code::UnstableOffsetCommit
        )
    })
}

/// A question that failed, asked outside of any transaction: worth another try unless it is hopeless.
pub(super) fn asked(doing: &str, error: &KafkaError) -> Fault {
    let message = format!("{doing}: {}", describe(error));
    if error.rdkafka_error_code().is_some_and(is_hopeless) { Fault::Fatal(message) } else { Fault::Abort(message) }
}

/// An error in words that are not the library's types.
pub(super) fn describe(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), told)
}

/// A code in words, with the right that is missing where that is it.
pub(super) fn told(code: RDKafkaErrorCode) -> String {
    use RDKafkaErrorCode as Code;
    let right = match code {
        Code::TopicAuthorizationFailed => {
            "Describe and Read to read the topic, Write to write to it, Create to make it"
        }
        Code::GroupAuthorizationFailed => "Read and Describe on the group",
        Code::TransactionalIdAuthorizationFailed => "Write and Describe on the transactional id",
        Code::ClusterAuthorizationFailed => "Create or IdempotentWrite on the cluster, or Create on the topic",
        _ => return code.to_string(),
    };
    format!("{code}; grant the user {right}")
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Fatal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_sorted_by_what_to_do() {
        let refused = |code, [retriable, abort, fatal]: [bool; 3]| Refused {
            code,
            retriable,
            abort,
            fatal,
            reason: String::new(),
        };
        #[rustfmt::skip]
        let table = [
            (refused(RDKafkaErrorCode::OperationTimedOut,        [true, false, false]),  Remedy::Again),
            (refused(RDKafkaErrorCode::IllegalGeneration,        [false, true, false]),  Remedy::Abort),
            (refused(RDKafkaErrorCode::Fenced,                   [false, false, true]),  Remedy::Replace),
            (refused(RDKafkaErrorCode::State,                    [false, false, false]), Remedy::Replace),
            (refused(RDKafkaErrorCode::TopicAuthorizationFailed, [false, true, false]),  Remedy::Give),
        ];
        for (refused, expected) in table {
            assert_eq!(remedy(&refused), expected, "{refused:?}");
        }
    }
}
