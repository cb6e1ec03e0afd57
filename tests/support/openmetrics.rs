//! A strict reader of the text format of `OpenMetrics`.

use std::collections::{BTreeMap, BTreeSet};

/// A family's type and its series, by their names and labels.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) series: BTreeMap<Series, f64>,
}

/// The name of a series with its suffix, and its labels.
pub(crate) type Series = (String, Labels);

/// The values of labels by their names.
pub(crate) type Labels = BTreeMap<String, String>;

/// Reads a text, or says what in it is not as the format has it.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end with `# EOF`")?;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            current = describe(&mut families, &current, comment)?;
            continue;
        }
        let family = families.get_mut(&current).ok_or_else(|| format!("a value before its type: {line}"))?;
        let (series, value) = series(line)?;
        check_name(&series.0, &current, &family.kind)?;
        if family.series.insert(series, value).is_some() {
            return Err(format!("a series twice: {line}"));
        }
    }
    for (name, family) in &families {
        check_values(name, family)?;
    }
    Ok(families)
}

fn describe(families: &mut BTreeMap<String, Family>, before: &str, comment: &str) -> Result<String, String> {
    let mut words = comment.splitn(3, ' ');
    let (what, name, rest) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    is_name(name).then_some(()).ok_or_else(|| format!("no name of a metric: {comment}"))?;
    if name != before && families.contains_key(name) {
        return Err(format!("the family {name} is in two pieces"));
    }
    let new = || Family { kind: String::new(), help: String::new(), series: BTreeMap::new() };
    let family = families.entry(name.to_owned()).or_insert_with(new);
    let place = match what {
        Some("HELP") => &mut family.help,
        Some("TYPE") if ["counter", "gauge", "histogram", "info"].contains(&rest) => &mut family.kind,
        _ => return Err(format!("no description: # {comment}")),
    };
    if !family.series.is_empty() || !place.is_empty() || rest.is_empty() {
        return Err(format!("out of place, twice or empty: # {comment}"));
    }
    rest.clone_into(place);
    Ok(name.to_owned())
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn series(line: &str) -> Result<(Series, f64), String> {
    let wrong = || format!("no series with labels and a value: {line}");
    let end = line.find(['{', ' ']).ok_or_else(wrong)?;
    let (name, mut rest) = line.split_at(end);
    let mut found = Labels::new();
    if let Some(list) = rest.strip_prefix('{') {
        let mut list = list;
        loop {
            let (label, after) = list.split_once("=\"").ok_or_else(wrong)?;
            let (value, after) = quoted(after).ok_or_else(wrong)?;
            if !is_name(label) || found.insert(label.to_owned(), value).is_some() {
                return Err(wrong());
            }
            list = match after.strip_prefix(',') {
                Some(more) => more,
                None => break rest = after.strip_prefix('}').ok_or_else(wrong)?,
            };
        }
    }
    let value = rest.strip_prefix(' ').filter(|value| !value.contains(' ')).ok_or_else(wrong)?;
    is_name(name).then_some(()).ok_or_else(wrong)?;
    Ok(((name.to_owned(), found), value.parse().map_err(|_| wrong())?))
}

/// A text up to the quote that ends it, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

fn check_name(series: &str, family: &str, kind: &str) -> Result<(), String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_count", "_sum"],
        _ => &[""],
    };
    let fits = suffixes.iter().any(|suffix| series.strip_prefix(family) == Some(suffix));
    fits.then_some(()).ok_or_else(|| format!("{series} is no name of the {kind} {family}"))
}

fn check_values(name: &str, family: &Family) -> Result<(), String> {
    if family.kind.is_empty() || family.help.is_empty() {
        return Err(format!("{name} has no type or no help"));
    }
    let counts = family.kind == "counter" || family.kind == "histogram";
    let bad = family
        .series
        .iter()
        .find(|((series, _), value)| counts && !series.ends_with("_sum") && !(value.is_finite() && **value >= 0.0));
    if let Some(bad) = bad {
        return Err(format!("no count: {bad:?}"));
    }
    if family.kind == "histogram" { check_histogram(name, family) } else { Ok(()) }
}

/// Buckets never fall, the last has no end, and it is the count.
fn check_histogram(name: &str, family: &Family) -> Result<(), String> {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for ((series, labels), value) in &family.series {
        let mut labels = labels.clone();
        let end = labels.remove("le");
        let of = buckets.entry(labels).or_default();
        if series.ends_with("_bucket") {
            let end = end.as_deref().map(|end| if end == "+Inf" { "inf" } else { end });
            of.push((end.and_then(|end| end.parse().ok()).ok_or(format!("{name}: a bucket without an end"))?, *value));
        }
    }
    for (labels, mut of) in buckets {
        of.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = family.series.get(&(format!("{name}_count"), labels.clone()));
        let sum = family.series.get(&(format!("{name}_sum"), labels.clone()));
        let ends: BTreeSet<_> = of.iter().map(|(end, _)| end.to_bits()).collect();
        let whole = of.last().is_some_and(|(end, all)| end.is_infinite() && Some(all) == count);
        if !of.is_sorted_by(|one, other| one.1 <= other.1) || !whole || sum.is_none() || ends.len() != of.len() {
            return Err(format!("{name} {labels:?} is no histogram: {of:?}, count {count:?}, sum {sum:?}"));
        }
    }
    Ok(())
}

/// What is no such text is refused: a reader that takes everything would show nothing.
#[test]
fn what_is_not_as_the_format_has_it_is_refused() {
    let head = "# HELP a A.\n# TYPE a counter\n";
    let histogram = "# HELP h H.\n# TYPE h histogram\nh_sum 1\nh_count 2\n";
    assert!(parse(&format!("{head}a_total{{x=\"1\\\"\\n\"}} 1\n# EOF\n")).is_ok());
    assert!(parse(&format!("{histogram}h_bucket{{le=\"1.0\"}} 1\nh_bucket{{le=\"+Inf\"}} 2\n# EOF\n")).is_ok());
    for bad in [
        format!("{head}a_total 1\n"),
        format!("{head}a 1\n# EOF\n"),
        format!("{head}a_total 1\na_total 2\n# EOF\n"),
        format!("{head}a_total -1\n# EOF\n"),
        format!("{head}a_total{{x=\"\"\"}} 1\n# EOF\n"),
        format!("{head}a_total{{x=\"1\",x=\"2\"}} 1\n# EOF\n"),
        format!("{head}a_total{{x=\"\\q\"}} 1\n# EOF\n"),
        format!("{head}a_total one\n# EOF\n"),
        format!("{head}# HELP b B.\n# TYPE b gauge\n{head}# EOF\n"),
        "# TYPE a counter\na_total 1\n# EOF\n".into(),
        "a_total 1\n# EOF\n".into(),
        format!("{histogram}h_bucket{{le=\"1.0\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\n# EOF\n"),
        format!("{histogram}h_bucket{{le=\"1.0\"}} 2\n# EOF\n"),
        format!("{histogram}h_bucket{{le=\"+Inf\"}} 3\n# EOF\n"),
    ] {
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
