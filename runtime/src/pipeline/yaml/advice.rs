//! What to say about a YAML syntax error, so that the user knows what to do.

use granit_parser::{ErrorKind, ScanError};

use super::Place;

/// A message for `error`, which the parser met at `place` of `text`.
pub(super) fn message(error: &ScanError, place: Place, text: &str) -> String {
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let told = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "YAML does not allow a tab here; indent with spaces",
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            "a `:` is not allowed here; put text that holds `: ` in quotes, and check the indentation"
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => "a key needs a `:` behind it",
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            "a key is expected here; check the indentation of this line and of the one before"
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => "`,` or `}` is expected here",
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            "`,` or `]` is expected here"
        }
        ErrorKind::ExpectedBlockSequenceEntry => "`- ` is expected here; check the indentation",
        ErrorKind::UnclosedQuotedScalar => "a quote is not closed",
        ErrorKind::UnknownAnchor => {
            "no anchor of this name stands before this alias; put text that begins with `*` in quotes"
        }
        ErrorKind::RecursionLimitExceeded => "mappings and lists are nested more than 64 deep",
        ErrorKind::UnexpectedCharacter { character } => return unexpected(*character),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return format!("`{open}` is closed by `{close}`");
        }
        ErrorKind::UnclosedFlowCollection { open } => return format!("`{open}` is not closed"),
        _ => return other(error),
    };
    if line.contains("${") && line.contains('{') && told.contains('}') {
        return format!("{told}; inside `{{…}}` put `${{…}}` in quotes");
    }
    told.to_owned()
}

fn unexpected(character: char) -> String {
    format!("text cannot begin with `{}`; put it in quotes", character.escape_default())
}

fn other(error: &ScanError) -> String {
    let mut message = error.info();
    if !message.starts_with("YAML")
        && let Some(first) = message.get_mut(..1)
    {
        first.make_ascii_lowercase();
    }
    format!("this is not YAML: {message}")
}
