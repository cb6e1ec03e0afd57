//! Properties of librdkafka as users give them: what is secret in them is never shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use thiserror::Error;

use crate::pipeline::variable::{self, Filled};

/// What is shown in the place of a secret.
const MASK: &str = "***";

/// Why a file of properties cannot be used.
#[derive(Debug, Error)]
pub enum PropertyError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        reason: io::Error,
    },
    /// A line is no property.
    #[error("{} line {line}: say name=value", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
    },
    /// What a value names is not there.
    #[error("{} line {line}: {property}: {reason}", path.display())]
    Unfilled {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The property.
        property: String,
        /// Why, and what to do.
        reason: String,
    },
}

/// Properties by name.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Properties(BTreeMap<String, Value>);

#[derive(Clone, Eq, PartialEq)]
struct Value {
    text: String,
    secrets: Vec<String>,
}

impl Value {
    fn new(name: &str, text: String, mut secrets: Vec<String>) -> Self {
        secrets.extend(is_secret(name).then(|| text.clone()));
        Self { text, secrets }
    }
}

impl Properties {
    /// Reads a file of `name=value` lines; blank lines and those that begin with `#` are left out. A value may hold
    /// `${env:NAME}` and `${file:PATH}`, as those of a pipeline file.
    pub fn read(path: &Path) -> Result<Self, PropertyError> {
        let text =
            fs::read_to_string(path).map_err(|reason| PropertyError::Unreadable { path: path.into(), reason })?;
        let lookup = variable::lookup(path.parent().unwrap_or(Path::new("")), |name| env::var(name).ok());
        let mut properties = Self::default();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = || PropertyError::Malformed { path: path.into(), line: number };
            let (name, value) = line.split_once('=').ok_or_else(malformed)?;
            let (name, value) = (name.trim(), value.trim());
            let filled = variable::fill(value, &lookup).map_err(|reason| PropertyError::Unfilled {
                path: path.into(),
                line: number,
                property: name.into(),
                reason,
            })?;
            let (text, secrets) = match filled {
                Some(Filled { text, values }) => (text, values.into_iter().map(|(value, _)| value).collect()),
                None => (value.to_owned(), Vec::new()),
            };
            properties.0.insert(name.to_owned(), Value::new(name, text, secrets));
        }
        Ok(properties)
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.text.as_str())
    }

    /// Names and values, secrets included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.text.as_str()))
    }

    /// The first one whose number is too large for librdkafka, which would take the lower half of it.
    pub(super) fn too_large(&self) -> Option<(&str, &str)> {
        self.iter().find(|(name, value)| value.parse().is_ok_and(|number| is_cut(name, value, number)))
    }

    /// A text without the secrets that are in it.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.0.values().flat_map(|value| &value.secrets).map(String::as_str);
        let mut secrets: Vec<_> = secrets.filter(|secret| !secret.is_empty()).collect();
        // One may be part of another.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Properties {
    fn from(properties: [(&str, &str); N]) -> Self {
        let value = |(name, text): (&str, &str)| (name.to_owned(), Value::new(name, text.to_owned(), Vec::new()));
        Self(properties.map(value).into())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| if value.secrets.is_empty() { value.text.clone() } else { MASK.to_owned() };
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, shown(value)))).finish()
    }
}

/// Whether librdkafka makes something else of a number. What is no number to it stays as it is.
fn is_cut(name: &str, value: &str, number: i128) -> bool {
    if i32::try_from(number).is_ok() {
        return false;
    }
    let config = ClientConfig::new().set(name, value).create_native_config();
    match config.and_then(|config| config.get(name)) {
        Ok(taken) => taken != value,
        Err(KafkaError::ClientConfig(code, ..)) => code == RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
        Err(_) => false,
    }
}

/// Whether a property's value is a secret by the property's name.
pub(super) fn is_secret(name: &str) -> bool {
    let parts = ["password", "passphrase", "secret", "ssl.key.pem", "private.key", "oauthbearer.config", "kinit.cmd"];
    parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Properties, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kafka.properties");
        fs::write(dir.path().join("password"), "from a file\n").unwrap();
        fs::write(&path, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        Properties::read(&path).map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
    }

    #[test]
    fn values_come_from_the_file_the_environment_and_other_files() {
        let home = env::var("PATH").unwrap();
        let text =
            "# a comment\n\n a = b=c \nsasl.username=${env:PATH}\nsasl.password=${file:DIR/password}\nodd=${x}\n";
        let properties = read(text).unwrap();
        let table = [("a", "b=c"), ("sasl.username", home.as_str()), ("sasl.password", "from a file"), ("odd", "${x}")];
        for (name, value) in table {
            assert_eq!(properties.get(name), Some(value), "{name}");
        }
        assert_eq!(properties.get("# a comment"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        #[rustfmt::skip]
        let table = [
            ("a=b\nc\n",             "DIR/kafka.properties line 2: say name=value"),
            ("a=${env:NOT_SET_1}\n", "DIR/kafka.properties line 1: a: the environment variable `NOT_SET_1` is not set, or is not UTF-8; set it"),
            ("\na=${file:DIR/no}\n", "DIR/kafka.properties line 2: a: read `DIR/no`: no such file"),
        ];
        for (text, says) in table {
            assert_eq!(read(text).unwrap_err(), says);
        }
        let error = Properties::read(Path::new("/nowhere/x")).unwrap_err().to_string();
        assert_eq!(error, "cannot read /nowhere/x: No such file or directory (os error 2)");
    }

    #[test]
    fn a_number_of_which_half_would_be_taken_is_found() {
        let first = |text: &str| read(text).unwrap().too_large().map(|(name, _)| name.to_owned());
        for value in ["99999999999", "-99999999999", "4294967301"] {
            assert_eq!(first(&format!("linger.ms={value}")).as_deref(), Some("linger.ms"), "{value}");
        }
        assert_eq!(first("linger.ms=5\nclient.id=99999999999\nsasl.password=99999999999\nno.such=99999999999"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let properties = read("ssl.key.password=hunter2\nclient.rack=${env:PATH}\nclient.id=me\n").unwrap();
        let path = env::var("PATH").unwrap();
        assert_eq!(
            format!("{properties:?}"),
            r#"{"client.id": "me", "client.rack": "***", "ssl.key.password": "***"}"#
        );
        assert_eq!(properties.mask(&format!("me, hunter2 and {path}")), "me, *** and ***");
    }
}
