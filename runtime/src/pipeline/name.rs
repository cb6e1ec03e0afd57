//! Names of pipelines, sources, operators, sinks and topics.

/// Longest name, so that the topics named after a cluster, a pipeline and an operator stay within Kafka's limit.
const LONGEST_NAME: usize = 63;

/// Longest name of a topic that Kafka takes.
const LONGEST_TOPIC: usize = 249;

/// What is wrong with `name` as the name of a pipeline, a source, an operator, a sink or a cluster.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        return Err("a name must not be empty".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("the name is longer than {LONGEST_NAME} characters"));
    }
    match name.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(_) => Err(format!("`{name}` is not a name: use a-z, 0-9 and `-` only")),
    }
}

/// What is wrong with `topic` as the name of a Kafka topic.
pub(super) fn check_topic(topic: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() {
        return Err("the name of a topic must not be empty".to_owned());
    }
    if topic == "." || topic == ".." {
        return Err(format!("`{topic}` is not the name of a topic"));
    }
    if topic.len() > LONGEST_TOPIC {
        return Err(format!("the topic's name is longer than {LONGEST_TOPIC} characters"));
    }
    match topic.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(_) => Err(format!("`{topic}` is not the name of a topic: use letters, digits, `.`, `_` and `-` only")),
    }
}

/// The one of `known` that a user who typed `given` most likely meant.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let wanted = plain(given);
    let bound = (given.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance <= bound && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What to say after "unknown …": the nearest known name, else all of them where they are few.
pub(super) fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(given, known.clone()) {
        return format!(", did you mean `{name}`?");
    }
    let names = list(known);
    if names.is_empty() { String::new() } else { format!("; known are {names}") }
}

/// Names in backquotes with commas between, the last after "and".
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "orders-per-minute", "0", &"x".repeat(63)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "A", "a.b", "a_b", "ä", &"x".repeat(64)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn topics() {
        for good in ["a", "Orders_2.x-y", "..."] {
            assert_eq!(check_topic(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", &"x".repeat(250)] {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["settings", "source", "from", "on-error", "retry"];
        for (given, expected) in [
            ("setings", Some("settings")),
            ("form", Some("from")),
            ("on_error", Some("on-error")),
            ("onerror", Some("on-error")),
            ("Retry", Some("retry")),
            ("x", None),
            ("color", None),
        ] {
            assert_eq!(nearest(given, known), expected, "{given}");
        }
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(list([]), "");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
