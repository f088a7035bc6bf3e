//! What a Markdown document holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::paths;

/// A Markdown document of the checkout.
pub struct Document {
    /// Its path within the checkout.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What its links point to.
    pub links: Vec<Link>,
    /// What a link to one of its headings may name behind `#`.
    pub anchors: BTreeSet<String>,
    /// Its console blocks.
    pub blocks: Vec<Block>,
    /// Marks that are not followed by a console block, by their line.
    pub stray_marks: Vec<usize>,
}

/// A link to another place in the checkout.
pub struct Link {
    /// The line it stands in.
    pub line: usize,
    /// What it points to, as it is written.
    pub target: String,
}

/// A part of a shell session.
pub struct Block {
    /// The line it begins in.
    pub line: usize,
    /// Whether it is run.
    pub run: Run,
    /// Its commands.
    pub steps: Vec<ShellStep>,
}

/// Whether a block is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Yes,
    /// It is not.
    No {
        /// Why not.
        why: String,
        /// What is run in its place, so that what follows it finds what it needs.
        instead: Option<String>,
    },
}

/// A command and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellStep {
    /// What is typed behind `$ `, with the lines that belong to it.
    pub command: String,
    /// What it prints, of which `…` stands for anything.
    pub expected: Vec<String>,
}

impl Document {
    /// Reads one by its path within the checkout. Panics if it cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let text = fs::read_to_string(paths::workspace().join(path));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Self {
        let mut reading = Reading::default();
        let options = Options::ENABLE_TABLES;
        for (event, range) in Parser::new_ext(&text, options).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            reading.take(event, line);
        }
        Self {
            path: path.to_owned(),
            text,
            links: reading.links,
            anchors: reading.anchors,
            blocks: reading.blocks,
            stray_marks: reading.stray_marks,
        }
    }

    /// The blocks that are run.
    pub fn is_played(&self) -> bool {
        self.blocks.iter().any(|block| block.run == Run::Yes)
    }
}

#[derive(Default)]
struct Reading {
    links: Vec<Link>,
    anchors: BTreeSet<String>,
    blocks: Vec<Block>,
    stray_marks: Vec<usize>,
    /// How often each heading has been seen: the second of a name has another anchor.
    headings: BTreeMap<String, usize>,
    /// The heading that is being read.
    heading: Option<String>,
    /// The comment that is being read.
    comment: Option<String>,
    /// The console block that is being read.
    console: Option<String>,
    /// The mark that the next block is to have, and the line it stands in.
    mark: Option<(usize, Run)>,
}

impl Reading {
    fn take(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Start(tag) => self.start(tag, line),
            Event::End(tag) => self.end(tag, line),
            Event::Text(text) | Event::Code(text) => {
                let places = [&mut self.heading, &mut self.console];
                for place in places.into_iter().flatten() {
                    place.push_str(&text);
                }
            }
            Event::Html(html) => {
                if let Some(comment) = &mut self.comment {
                    comment.push_str(&html);
                }
            }
            Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>, line: usize) {
        if let Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } = tag {
            if !dest_url.contains("://") && !dest_url.starts_with("mailto:") {
                let target = dest_url.into_string();
                self.links.push(Link { line, target });
            }
            return;
        }
        if let Tag::CodeBlock(CodeBlockKind::Fenced(language)) = &tag
            && &**language == "console"
        {
            self.console = Some(String::new());
            return;
        }
        // A mark belongs to the block right behind it.
        if let Some((line, _)) = self.mark.take_if(|_| !matches!(tag, Tag::HtmlBlock)) {
            self.stray_marks.push(line);
        }
        if let Tag::Heading { .. } = tag {
            self.heading = Some(String::new());
        } else if tag == Tag::HtmlBlock {
            self.comment = Some(String::new());
        }
    }

    fn end(&mut self, tag: TagEnd, line: usize) {
        if tag == TagEnd::CodeBlock
            && let Some(text) = self.console.take()
        {
            let run = self.mark.take().map_or(Run::Yes, |(_, run)| run);
            let steps = steps(&text);
            self.blocks.push(Block { line, run, steps });
        } else if tag == TagEnd::HtmlBlock
            && let Some(comment) = self.comment.take()
            && let Some(run) = mark(&comment)
        {
            if let Some((line, _)) = self.mark.replace((line, run)) {
                self.stray_marks.push(line);
            }
        } else if let TagEnd::Heading(_) = tag
            && let Some(heading) = self.heading.take()
        {
            let slug = slug(&heading);
            let seen = self.headings.entry(slug.clone()).or_default();
            let anchor = match *seen {
                0 => slug,
                before => format!("{slug}-{before}"),
            };
            *seen += 1;
            self.anchors.insert(anchor);
        }
    }
}

/// What a comment says of the block behind it: `<!-- not run: WHY -->` or, with a command in its place,
/// `<!-- not run: WHY; instead: COMMAND -->`.
fn mark(comment: &str) -> Option<Run> {
    let comment = comment.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
    let text = comment.trim().strip_prefix("not run:")?;
    let (why, instead) = match text.split_once("; instead:") {
        Some((why, instead)) => (why, Some(instead.trim().to_owned())),
        None => (text, None),
    };
    Some(Run::No {
        why: why.trim().to_owned(),
        instead,
    })
}

/// The commands of a block. One goes on in the next line behind a backslash, and to the end of its here-document.
fn steps(text: &str) -> Vec<ShellStep> {
    let mut steps: Vec<ShellStep> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            if let Some(step) = steps.last_mut() {
                step.expected.push(line.to_owned());
            }
            continue;
        };
        let mut command = command.to_owned();
        while command.ends_with('\\')
            && let Some(line) = lines.next()
        {
            command = format!("{command}\n{line}");
        }
        if let Some(end) = here_document(&command) {
            for line in lines.by_ref() {
                command = format!("{command}\n{line}");
                if line == end {
                    break;
                }
            }
        }
        let expected = Vec::new();
        steps.push(ShellStep { command, expected });
    }
    steps
}

/// The word that ends a command's here-document.
fn here_document(command: &str) -> Option<String> {
    let (_, behind) = command.split_once("<<")?;
    let word = behind.split_whitespace().next()?;
    Some(word.trim_matches(['\'', '"']).to_owned())
}

/// The anchor that GitHub gives a heading.
fn slug(heading: &str) -> String {
    let words = heading.trim().to_lowercase();
    let kept = words.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then_some(c),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(Path::new("a.md"), text.to_owned())
    }

    #[test]
    fn a_block_is_commands_with_what_they_print() {
        let text = "```console\n$ a \\\n  b\nx\n\ny\n$ c - <<END >d\nspec\nEND\n$ e\n```\n";
        let blocks = parse(text).blocks;
        let step = |command: &str, expected: &[&str]| ShellStep {
            command: command.to_owned(),
            expected: expected.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(blocks[0].run, Run::Yes);
        assert_eq!(
            blocks[0].steps,
            [
                step("a \\\n  b", &["x", "", "y"]),
                step("c - <<END >d\nspec\nEND", &[]),
                step("e", &[]),
            ]
        );
    }

    #[rstest]
    #[case::why("<!-- not run: it needs Pods -->", "it needs Pods", None)]
    #[case::instead(
        "<!-- not run: it stays; instead: a;\nb & -->",
        "it stays",
        Some("a;\nb &")
    )]
    fn a_block_behind_a_mark_is_not_run(
        #[case] mark: &str,
        #[case] why: &str,
        #[case] instead: Option<&str>,
    ) {
        let text = format!("{mark}\n```console\n$ a\n```\n\n```console\n$ b\n```\n");
        let document = parse(&text);
        let not = Run::No {
            why: why.to_owned(),
            instead: instead.map(str::to_owned),
        };
        assert_eq!(document.blocks[0].run, not);
        assert_eq!(document.blocks[1].run, Run::Yes);
    }

    #[test]
    fn a_mark_without_a_block_is_stray() {
        let text = "\n<!-- not run: a -->\n\nText.\n\n```console\n$ a\n```\n";
        let document = parse(text);
        assert_eq!(document.stray_marks, [2]);
        assert_eq!(document.blocks[0].run, Run::Yes);
    }

    #[rstest]
    #[case("What it does when…", "what-it-does-when")]
    #[case("`handler-host run`", "handler-host-run")]
    #[case("spec.module, and more", "specmodule-and-more")]
    fn a_heading_has_githubs_anchor(#[case] heading: &str, #[case] anchor: &str) {
        let document = parse(&format!("# {heading}\n\n## {heading}\n"));
        let again = format!("{anchor}-1");
        assert_eq!(document.anchors, BTreeSet::from([anchor.to_owned(), again]));
    }
}
