//! Parts of pages that are made of something else: between `<!-- NAME -->` and `<!-- end -->` there is what it says.

use std::fs;

use crate::support::command::repository;

/// Set to write the pages anew.
const WRITE: &str = "WASMILL_WRITE_DOCS";

/// Fails unless the parts of a page are what `make` makes of their names, or writes them.
pub(crate) fn check(page: &str, make: &dyn Fn(&str) -> Option<String>) {
    let path = repository().join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (filled, parts) = fill(&text, make);
    assert!(parts > 0, "{page} has no part that is made");
    if std::env::var_os(WRITE).is_some() {
        fs::write(path, filled).unwrap();
        return;
    }
    let differs = text.lines().zip(filled.lines()).find(|(is, should)| is != should);
    let hint = "`just docs` writes it anew";
    assert!(text == filled, "{page} is not what it is made of ({hint}):\n{differs:#?}");
}

fn fill(text: &str, make: &dyn Fn(&str) -> Option<String>) -> (String, usize) {
    let (mut page, mut rest, mut parts) = (String::new(), text, 0);
    while let Some((before, after)) = rest.split_once("<!-- ") {
        let (name, after) = after.split_once(" -->\n").expect("the end of a comment");
        let (_, after) = after.split_once("<!-- end -->").unwrap_or_else(|| panic!("the part {name} has no end"));
        let content = make(name).unwrap_or_else(|| panic!("there is nothing to make of {name}"));
        page.extend([before, "<!-- ", name, " -->\n", &content, "<!-- end -->"]);
        rest = after;
        parts += 1;
    }
    page.push_str(rest);
    (page, parts)
}
