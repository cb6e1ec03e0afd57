//! What the pages of the documentation show is run: commands in an empty directory, pipelines validated, Rust compiled, and
//! parts that are made of the code compared with it.

mod generated;
mod messages;
mod metrics;
mod page;
mod reference;
mod rust;
mod snippet;

use std::fs;
use std::path::PathBuf;

use self::page::Reader;
use self::snippet::Snippet;
use crate::support::command::repository;

/// All pages, README.md first.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let paths = docs.map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let name = |path: PathBuf| format!("docs/{}", path.file_name().unwrap().display());
    let mut pages: Vec<_> = paths.filter(is_page).map(name).collect();
    pages.sort();
    pages.insert(0, "README.md".into());
    pages
}

fn read(page: &str) -> usize {
    let mut reader = Reader::new();
    Snippet::of(page).iter().for_each(|snippet| reader.read(snippet));
    println!("{page}: {} blocks were run or validated", reader.run);
    reader.run
}

/// 1 process on the embedded log, and a real Kafka where the page has one.
#[test]
fn the_readme_does_what_it_says() {
    assert!(read("README.md") >= 3);
}

#[test]
fn the_tutorial_does_what_it_says() {
    assert!(read("docs/tutorial.md") >= 12);
}

#[test]
fn the_other_pages_do_what_they_say() {
    let others = pages().into_iter().filter(|page| page != "README.md" && page != "docs/tutorial.md");
    let run: usize = others.map(|page| read(&page)).sum();
    assert!(run >= 7, "{run} blocks");
}

#[test]
fn the_rust_of_the_pages_compiles() {
    let all = pages().into_iter().flat_map(|page| Snippet::of(&page));
    let loose = |snippet: &Snippet| {
        snippet.language == "rust" && snippet.attribute("same-as").is_none() && snippet.attribute("file").is_none()
    };
    let snippets: Vec<_> = all.filter(loose).collect();
    assert!(snippets.len() >= 2, "{} blocks", snippets.len());
    rust::check(&snippets);
}

/// Each with its reason, and few.
#[test]
fn what_is_not_run_says_why() {
    let all = pages().into_iter().flat_map(|page| Snippet::of(&page));
    let left: Vec<_> = all.filter_map(|one| Some((one.place(), one.attribute("not-run")?.to_owned()))).collect();
    left.iter().for_each(|(place, why)| println!("{place} is not run: {why}"));
    assert!(left.iter().all(|(_, why)| why.len() > 10), "{left:?}");
    assert!(left.len() <= 2, "{left:#?}");
}

#[test]
fn the_reference_of_the_pipeline_file_is_its_schema() {
    generated::check("docs/pipeline-file.md", &reference::part);
}

#[test]
fn the_page_on_metrics_has_them_all() {
    generated::check("docs/metrics.md", &metrics::part);
}

#[test]
fn the_messages_that_are_explained_are_those_of_the_code() {
    messages::check("docs/troubleshooting.md");
}

/// Links within the repository lead somewhere.
#[test]
fn links_lead_somewhere() {
    for page in pages().into_iter().chain(["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned)) {
        let path = repository().join(&page);
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{page}: {link} leads nowhere");
            if !heading.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let anchors = headings.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(anchors.collect::<Vec<_>>().contains(&heading.to_owned()), "{page}: {link} leads nowhere");
            }
        }
    }
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
