//! The documents: what their console blocks show is what happens, their links lead somewhere, and what they list is
//! all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};
use handler_host_tests::docs::{Block, Document, Ran, Run, ShellSession, documents};
use handler_host_tests::objects::names;
use handler_host_tests::{ControlPlane, Hosted, LISTEN, ProbeClient, paths};

/// A test for each document that has console blocks to run.
macro_rules! played {
    ($($name:ident: $path:literal,)+) => {
        const PLAYED: &[&str] = &[$($path),+];

        $(
            #[tokio::test]
            async fn $name() {
                play($path).await;
            }
        )+
    };
}

played! {
    the_readme_is_true: "README.md",
    the_tutorial_of_a_swap_is_true: "docs/tutorial/swap-a-handler.md",
    how_to_run_in_a_cluster_is_true: "docs/how-to/run-in-a-cluster.md",
    how_to_give_rights_is_true: "docs/how-to/give-rights.md",
    how_to_preview_and_approve_is_true: "docs/how-to/preview-and-approve.md",
    how_to_write_a_handler_is_true: "docs/how-to/write-a-handler.md",
    how_to_debug_a_handler_is_true: "docs/how-to/debug-a-handler.md",
}

/// Plays the console blocks of a document, in their order and in one shell session, on a control plane of its own:
/// they use names that belong to all of a cluster.
async fn play(path: &str) {
    let document = Document::read(path);
    let crd = paths::workspace().join("guest-evc/crd.yaml");
    let control_plane = ControlPlane::own(vec![crd]).await;
    let mut session = ShellSession::start(&control_plane).await;
    let mut not_run = String::new();
    for block in &document.blocks {
        if let Err(error) = play_block(&mut session, block).await {
            panic!("{path}:{}: {error:#}", block.line);
        }
        if let Run::No { why, .. } = &block.run {
            not_run = format!("{not_run}\n    line {} is not run: {why}", block.line);
        }
    }
    session.end().await;
    let all = document.blocks.len();
    let run = all - not_run.lines().skip(1).count();
    // Not by `println`, which is shown of a test that failed only.
    let _ = writeln!(
        std::io::stderr(),
        "{path}: {run} of {all} console blocks were run{not_run}"
    );
}

async fn play_block(session: &mut ShellSession, block: &Block) -> Result<()> {
    match &block.run {
        Run::Yes => {
            for step in &block.steps {
                session.play(step).await?;
            }
        }
        Run::No { instead: None, .. } => {}
        Run::No {
            instead: Some(instead),
            ..
        } => {
            let Ran { code, printed } = session.run(instead).await?;
            ensure!(code == 0, "{instead}\n--- ended with {code}\n{printed}");
        }
    }
    Ok(())
}

#[test]
fn every_console_block_is_run_or_says_why_not() {
    let all: Vec<_> = documents().iter().map(Document::read).collect();
    let stray: Vec<_> = all
        .iter()
        .flat_map(|document| {
            let lines = document.stray_marks.iter();
            lines.map(|line| format!("{}:{line}", document.path.display()))
        })
        .collect();
    assert_eq!(stray, [""; 0], "marks that no console block follows");
    let with_blocks = all.iter().filter(|document| document.is_played());
    let with_blocks: BTreeSet<_> = with_blocks.map(|document| document.path.clone()).collect();
    let played: BTreeSet<_> = PLAYED.iter().map(PathBuf::from).collect();
    assert_eq!(with_blocks, played, "the list at the top of this suite");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let all: BTreeMap<_, _> = documents()
        .into_iter()
        .map(|path| (path.clone(), Document::read(&path)))
        .collect();
    let mut broken = Vec::new();
    for document in all.values() {
        for link in &document.links {
            let (file, anchor) = match link.target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (link.target.as_str(), None),
            };
            let path = match file {
                "" => document.path.clone(),
                file => within(document.path.parent().unwrap(), file),
            };
            let is_there = paths::workspace().join(&path).exists();
            let has_anchor = anchor.is_none_or(|anchor| {
                let target = all.get(&path);
                target.is_some_and(|target| target.anchors.contains(anchor))
            });
            if !is_there || !has_anchor {
                let place = document.path.display();
                broken.push(format!("{place}:{}: {}", link.line, link.target));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

/// The path within the checkout that a relative link leads to.
fn within(directory: &Path, link: &str) -> PathBuf {
    let mut path = directory.to_owned();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => assert!(path.pop(), "{link} leads out of the checkout"),
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir => panic!("{link} is no relative path"),
        }
    }
    path
}

#[test]
fn the_readme_is_read_in_minutes() {
    let lines = Document::read("README.md").text.lines().count();
    assert!(lines <= 200, "{lines} lines; the rest belongs into docs");
}

/// A row of a table for each metric, as docs/reference/metrics.md has them.
fn rows(exported: &str) -> Vec<String> {
    let (mut helps, mut rows) = (BTreeMap::new(), BTreeMap::new());
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in exported.lines() {
        if let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|it| it.split_once(' '))
        {
            helps.insert(name, help.trim_end_matches('.'));
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        {
            rows.insert(name, kind);
        } else if let Some((series, _)) = line.rsplit_once(' ') {
            let (name, pairs) = series.split_once('{').unwrap_or((series, ""));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|name| rows.contains_key(name))
                .unwrap_or(name);
            let known = labels.entry(name).or_default();
            let pairs = pairs.trim_end_matches('}').split("\",");
            let pairs = pairs.filter_map(|pair| pair.split_once('='));
            known.extend(pairs.map(|(label, _)| label).filter(|label| *label != "le"));
        }
    }
    let row = |(name, kind): (&&str, &&str)| {
        let labels = labels.get(name).into_iter().flatten();
        let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        format!("| `{name}` | {kind} | {labels} | {} |", helps[name])
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn the_reference_lists_every_metric_that_a_host_exports() {
    let test = "reference";
    let lease = format!("default/{test}");
    let arguments = [LISTEN[0], LISTEN[1], "--lease", &lease];
    let mut hosted = Hosted::start_with(test, &arguments).await;
    let probes = ProbeClient::of(&mut hosted.operator).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    hosted.make(&names(1)).await;
    hosted.ready(&names(1)).await;
    let exported = rows(&probes.get("/metrics").await.body);

    let text = Document::read("docs/reference/metrics.md").text;
    let (table, _) = text.split_once("\n## ").unwrap();
    let listed = table.lines().filter(|line| line.starts_with("| `"));
    let listed: Vec<_> = listed.map(str::to_owned).collect();
    let lacking: Vec<_> = exported
        .iter()
        .filter(|row| !listed.contains(row))
        .collect();
    let gone: Vec<_> = listed
        .iter()
        .filter(|row| !exported.contains(row))
        .collect();
    assert!(
        lacking.is_empty() && gone.is_empty(),
        "docs/reference/metrics.md is to have these rows:\n{lacking:#?}\nand not these:\n{gone:#?}"
    );
}
