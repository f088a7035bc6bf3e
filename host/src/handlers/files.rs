use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};
use handler_host_cluster::resource::Handler;
use handler_host_core::Digest;
use handler_host_registry::{FileStamp, reason};

use super::file::{Document, documents, text};

/// The extensions of the files that are read in a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// A file that was written this long ago would have other times if it were written again.
const SETTLED: Duration = Duration::from_secs(2);

/// Reads Handlers from files of YAML or JSON, which may hold several documents, and from directories of
/// such files. A Handler that could not be served is an error.
///
/// In a directory, names that begin with a dot and subdirectories are skipped, so that each file of a mounted
/// ConfigMap is read once. A relative `spec.module.path` is relative to the file's directory.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Handler>> {
    let mut files = HandlerFiles::new(paths.to_owned());
    files.read_first(usize::MAX)?;
    Ok(files.handlers().0)
}

/// Files of Handlers. A file is read again only when it changed.
pub(crate) struct HandlerFiles {
    /// What was named, each with the files that it stood for at the last look that found any.
    paths: Vec<(PathBuf, Vec<PathBuf>)>,
    files: BTreeMap<PathBuf, HandlerFile>,
}

/// A file, as it was read last.
#[derive(Default)]
struct HandlerFile {
    /// Its state; None if another state could look the same.
    stamp: Option<FileStamp>,
    content: Option<Digest>,
    /// The Handlers that it held when it could be used last.
    documents: Vec<Document>,
    /// Why it cannot be used now.
    problem: Option<String>,
}

/// What a look at all files found.
pub(super) struct FilesLook {
    /// Whether any Handler may differ from what it was before.
    pub(super) is_changed: bool,
    /// Whether all files were read that are to be read.
    pub(super) is_whole: bool,
    pub(super) problems: Vec<String>,
}

impl HandlerFiles {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let paths = paths.into_iter().map(|path| (path, Vec::new())).collect();
        Self {
            paths,
            files: BTreeMap::new(),
        }
    }

    /// Reads the first files, at most so many. What is wrong with one of them is an error. It returns whether these are
    /// all.
    pub(crate) fn read_first(&mut self, most: usize) -> Result<bool> {
        let look = self.look(most, |_| {});
        let (_, twice) = self.handlers();
        match look.problems.into_iter().chain(twice).next() {
            Some(problem) => bail!(problem),
            None => Ok(look.is_whole),
        }
    }

    /// Looks at all files, and reads those that changed, at most so many. Each Handler that was read is told at once.
    pub(super) fn look(&mut self, most: usize, mut tell: impl FnMut(&Document)) -> FilesLook {
        let mut look = FilesLook {
            is_changed: false,
            is_whole: true,
            problems: Vec::new(),
        };
        for (path, found) in &mut self.paths {
            match files(path) {
                Ok(files) => *found = files,
                Err(error) => look.problems.push(error.to_string()),
            }
        }
        let named = self.paths.iter().flat_map(|(_, found)| found);
        let named: BTreeSet<PathBuf> = named.cloned().collect();
        let before = self.files.len();
        self.files.retain(|path, _| named.contains(path));
        look.is_changed |= self.files.len() != before;
        let mut read = 0;
        for path in named {
            let stamp = stamp(&path);
            let file = self.files.get(&path);
            let is_known = file.is_some_and(|file| stamp.is_some() && file.stamp == stamp);
            if !is_known && read == most {
                look.is_whole = false;
                continue;
            }
            let file = self.files.entry(path.clone()).or_default();
            if !is_known {
                read += 1;
                look.is_changed |= file.read(&path, stamp);
                file.documents.iter().for_each(&mut tell);
            }
            look.problems.extend(file.problem.clone());
        }
        look
    }

    /// All Handlers that were read, in the order of their files, and what is wrong with their names.
    pub(super) fn handlers(&self) -> (Vec<Handler>, Vec<String>) {
        let mut places: BTreeMap<&str, &str> = BTreeMap::new();
        let (mut handlers, mut problems) = (Vec::new(), Vec::new());
        let named = self.paths.iter().flat_map(|(_, found)| found);
        let documents = named.filter_map(|path| Some(&self.files.get(path)?.documents));
        for document in documents.flatten() {
            match places.get(document.name()) {
                None => {
                    places.insert(document.name(), &document.place);
                    handlers.push(document.handler.clone());
                }
                Some(before) => problems.push(document.twice(before)),
            }
        }
        (handlers, problems)
    }

    /// How many files were read.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.files.len()
    }
}

impl HandlerFile {
    /// Reads the file. It returns whether what it holds may differ from what it held before.
    fn read(&mut self, path: &Path, stamp: Option<FileStamp>) -> bool {
        let (stamp, content, found) = match text(path) {
            Ok(text) => {
                let content = Some(Digest::of(text.as_bytes()));
                if content == self.content {
                    self.stamp = stamp;
                    return false;
                }
                (stamp, content, documents(path, &text))
            }
            // Whether it can be read may change without another stamp.
            Err(error) => (None, None, Err(error)),
        };
        (self.stamp, self.content) = (stamp, content);
        match found {
            Ok(documents) => {
                self.documents = documents;
                self.problem = None;
                true
            }
            Err(error) => {
                self.problem = Some(format!("{error:#}"));
                false
            }
        }
    }
}

/// The state of a file, if it is long enough in it.
fn stamp(path: &Path) -> Option<FileStamp> {
    let found = fs::metadata(path).ok()?;
    let written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let is_settled = written.elapsed().is_ok_and(|elapsed| elapsed >= SETTLED);
    is_settled.then(|| FileStamp::of(&found))
}

/// The file itself, or the files of a directory, sorted.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let refuse = |error: std::io::Error| {
        anyhow!(
            "{} cannot be read: {}; name a file of Handlers, or a directory of such files",
            path.display(),
            reason(&error)
        )
    };
    if !fs::metadata(path).map_err(refuse)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(refuse)? {
        let file = entry.map_err(refuse)?.path();
        // What is neither a file nor a directory is refused when it is opened.
        if is_searched(&file) && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!(
            "{} holds no file that ends in .yaml, .yml or .json; put Handlers there, or name another directory",
            path.display()
        );
    }
    files.sort();
    Ok(files)
}

fn is_searched(file: &Path) -> bool {
    let is_hidden = file
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = file.extension().and_then(|extension| extension.to_str());
    !is_hidden && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    fn handler(name: &str) -> String {
        format!(
            "apiVersion: handler-host.dev/v1alpha1
kind: Handler
metadata: {{name: {name}}}
spec:
  module: {{path: modules/{name}.wasm}}
  parent: {{apiVersion: kopf.dev/v1, kind: EphemeralVolumeClaim}}
"
        )
    }

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn names(handlers: &[Handler]) -> Vec<&str> {
        let names = handlers.iter().map(|handler| &handler.metadata.name);
        names.map(|name| name.as_deref().unwrap()).collect()
    }

    /// The error of reading paths in a directory. The directory's own path is replaced by DIR.
    fn error_of(directory: &TempDir, names: &[&str]) -> String {
        let paths: Vec<_> = names
            .iter()
            .map(|name| directory.path().join(name))
            .collect();
        let error = read(&paths).unwrap_err();
        format!("{error:#}").replace(directory.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn files_hold_documents_and_directories_hold_files_in_the_order_of_their_names() {
        let two = format!("---\n{}---\n---\n{}", handler("b"), handler("a"));
        let json = serde_saphyr::from_str::<Value>(&handler("c")).unwrap();
        let directory = directory(&[
            ("two.yaml", &two),
            ("many/3.yml", &handler("d")),
            ("many/2.json", &json.to_string()),
            ("many/.hidden.yaml", "no"),
            ("many/README.md", "no"),
            ("many/deeper.yaml/4.yaml", "no"),
        ]);
        let paths = ["two.yaml", "many"].map(|name| directory.path().join(name));
        assert_eq!(names(&read(&paths).unwrap()), ["b", "a", "c", "d"]);
    }

    #[test]
    fn of_a_mounted_config_map_each_file_is_read_once() {
        let directory = directory(&[("..2026_01/evc.yaml", &handler("evc"))]);
        let at = |name: &str| directory.path().join(name);
        symlink("..2026_01", at("..data")).unwrap();
        symlink("..data/evc.yaml", at("evc.yaml")).unwrap();
        let handlers = read(&[directory.path().to_owned()]).unwrap();
        assert_eq!(names(&handlers), ["evc"]);
    }

    #[test]
    fn a_relative_module_stands_beside_the_file_and_an_absolute_one_stays() {
        let absolute = handler("b").replace("modules/", "/modules/");
        let directory = directory(&[("a.yaml", &handler("a")), ("b.yaml", &absolute)]);
        let handlers = read(&[directory.path().to_owned()]).unwrap();
        let paths: Vec<_> = handlers
            .iter()
            .map(|handler| handler.spec.module.path.clone().unwrap())
            .collect();
        let beside = directory.path().join("modules/a.wasm");
        assert_eq!(paths, [beside.to_str().unwrap(), "/modules/b.wasm"]);
    }

    #[rstest]
    #[case::not_yaml("kind: [", "DIR/a.yaml is not YAML: line 1 column 7; mend it there")]
    #[case::nothing("", "DIR/a.yaml holds no Handler; write one, or leave the file out")]
    #[case::another_kind(
        "{apiVersion: v1, kind: Secret}",
        "DIR/a.yaml, document 1: a v1 Secret is no Handler of handler-host.dev/v1alpha1; write one"
    )]
    #[case::a_list(
        "[]",
        "DIR/a.yaml, document 1: a list is no Handler of handler-host.dev/v1alpha1; write one"
    )]
    #[case::a_secret(
        "password: hunter2",
        "DIR/a.yaml, document 1: what has no apiVersion and kind is no Handler of handler-host.dev/v1alpha1; write one"
    )]
    #[case::a_text(
        "hunter2",
        "DIR/a.yaml, document 1: a text is no Handler of handler-host.dev/v1alpha1; write one"
    )]
    #[case::no_text(
        "a: *hunter2",
        "DIR/a.yaml is not YAML: line 1 column 4; mend it there"
    )]
    #[case::an_unknown_field(
        &format!("{}---\n{}  limts: {{}}\n", handler("a"), handler("b")),
        "DIR/a.yaml, document 2: spec.limts is no field of a Handler; there it has children, clock, config, limits, module, parent, paused, related, rollout, serviceAccount"
    )]
    #[case::a_value_out_of_bounds(
        &format!("{}  limits: {{deadline: 5h}}\n", handler("a")),
        "DIR/a.yaml, document 1: spec.limits.deadline \"5h\" is no duration of 10ms to 60s; write it as 1s"
    )]
    #[case::no_name(
        &handler("a").replace("name: a", ""),
        "DIR/a.yaml, document 1: metadata.name \"\" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc"
    )]
    fn what_is_no_handler_is_refused_by_file_and_document(
        #[case] text: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(
            error_of(&directory(&[("a.yaml", text)]), &["a.yaml"]),
            expected
        );
    }

    #[test]
    fn a_name_that_two_files_give_is_refused_with_both() {
        let directory = directory(&[("a.yaml", &handler("evc")), ("b.yaml", &handler("evc"))]);
        assert_eq!(
            error_of(&directory, &[""]),
            "handler evc is in DIR/a.yaml, document 1, and in DIR/b.yaml, document 1; name it once"
        );
    }

    #[test]
    fn a_path_that_holds_nothing_to_read_is_refused() {
        let directory = directory(&[("empty/README.md", "")]);
        assert_eq!(
            error_of(&directory, &["missing.yaml"]),
            "DIR/missing.yaml cannot be read: there is no such file; name a file of Handlers, or a directory of such files"
        );
        assert_eq!(
            error_of(&directory, &["empty"]),
            "DIR/empty holds no file that ends in .yaml, .yml or .json; put Handlers there, or name another directory"
        );
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = directory(&[("a.yaml", &handler("a"))]);
        let pipe = directory.path().join("b.yaml");
        let mode = rustix::fs::Mode::RWXU;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        assert_eq!(
            error_of(&directory, &[""]),
            "DIR/b.yaml cannot be read: it is a pipe, not a regular file; name a file of Handlers"
        );
    }

    fn look(files: &mut HandlerFiles) -> (bool, Vec<String>, Vec<String>) {
        let look = files.look(usize::MAX, |_| {});
        let (handlers, _) = files.handlers();
        let names = names(&handlers).into_iter().map(str::to_owned).collect();
        (look.is_changed, names, look.problems)
    }

    #[test]
    fn only_what_changed_is_read_again_and_what_cannot_be_used_stays_as_it_was() {
        let directory = directory(&[("a.yaml", &handler("a")), ("b.yaml", &handler("b"))]);
        let at = |name: &str| directory.path().join(name);
        let mut files = HandlerFiles::new(vec![directory.path().to_owned()]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let none = Vec::new();
        assert_eq!(look(&mut files), (true, names(&["a", "b"]), none.clone()));
        assert_eq!(look(&mut files), (false, names(&["a", "b"]), none.clone()));

        fs::write(at("a.yaml"), handler("c")).unwrap();
        assert_eq!(look(&mut files), (true, names(&["c", "b"]), none.clone()));

        fs::write(at("a.yaml"), "kind: [").unwrap();
        fs::write(at("b.yaml"), handler("d")).unwrap();
        let (is_changed, found, problems) = look(&mut files);
        assert_eq!((is_changed, found), (true, names(&["c", "d"])));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("a.yaml is not YAML"), "{problems:?}");
        let (is_changed, _, problems) = look(&mut files);
        assert_eq!((is_changed, problems.len()), (false, 1));

        fs::remove_file(at("a.yaml")).unwrap();
        assert_eq!(look(&mut files), (true, names(&["d"]), none));
    }

    #[test]
    fn the_first_files_are_read_before_the_others() {
        let directory = directory(&[("a.yaml", &handler("a")), ("b.yaml", "kind: [")]);
        let mut files = HandlerFiles::new(vec![directory.path().to_owned()]);
        assert!(!files.read_first(1).unwrap());
        assert_eq!(files.count(), 1);
        assert_eq!(look(&mut files).2.len(), 1);
        assert!(files.read_first(usize::MAX).is_err());
    }
}
