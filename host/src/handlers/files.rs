use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use handler_host_cluster::resource::{Handler, read_handler};
use handler_host_core::Settings;
use handler_host_registry::reason;
use serde_json::Value;

/// The extensions of the files that are read in a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads Handlers from files of YAML or JSON, which may hold several documents, and from directories of
/// such files. A Handler that could not be served is an error.
///
/// In a directory, names that begin with a dot and subdirectories are skipped, so that each file of a mounted
/// ConfigMap is read once. A relative `spec.module.path` is relative to the file's directory.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Handler>> {
    let mut handlers = Vec::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for path in paths {
        for file in files(path)? {
            for (place, handler) in read_file(&file)? {
                let name = handler.metadata.name.clone().unwrap_or_default();
                if let Some(before) = places.insert(name.clone(), place.clone()) {
                    bail!("handler {name} is in {before}, and in {place}; name it once");
                }
                handlers.push(handler);
            }
        }
    }
    Ok(handlers)
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
        if is_searched(&file) && file.is_file() {
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

/// The Handlers of one file, each with the file and the number of its document, for messages.
fn read_file(file: &Path) -> Result<Vec<(String, Handler)>> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        anyhow!(
            "{shown} cannot be read: {}; name a file of Handlers",
            reason(&error)
        )
    })?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| {
        // The further lines of the error quote the text around the mistake.
        let error = error.to_string();
        let line = error.lines().next().unwrap_or_default();
        let line = line.trim_start_matches("error: ");
        anyhow!("{shown} is not YAML: {line}; mend it there")
    })?;
    let mut handlers = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        if document.is_null() {
            continue;
        }
        let place = format!("{shown}, document {}", index + 1);
        let handler = read_document(document, file).map_err(|error| anyhow!("{place}: {error}"))?;
        handlers.push((place, handler));
    }
    if handlers.is_empty() {
        bail!("{shown} holds no Handler; write one, or leave the file out");
    }
    Ok(handlers)
}

fn read_document(document: Value, file: &Path) -> Result<Handler> {
    let mut handler = read_handler(document)?;
    // The API server has not validated this Handler, so the rules of the CRD are checked here.
    Settings::try_from(&handler)?;
    let directory = file.parent().unwrap_or(Path::new(""));
    if let Some(path) = &mut handler.spec.module.path {
        let whole = directory.join(&path);
        whole
            .to_str()
            .ok_or_else(|| anyhow!("{} is not UTF-8; rename it", whole.display()))?
            .clone_into(path);
    }
    Ok(handler)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;
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
    #[case::not_yaml(
        "kind: [",
        "DIR/a.yaml is not YAML: line 1 column 7: unclosed bracket '['; mend it there"
    )]
    #[case::nothing("", "DIR/a.yaml holds no Handler; write one, or leave the file out")]
    #[case::another_kind(
        "{apiVersion: v1, kind: Secret}",
        "DIR/a.yaml, document 1: a v1 Secret is no Handler of handler-host.dev/v1alpha1; write one"
    )]
    #[case::a_list(
        "[]",
        "DIR/a.yaml, document 1: [] is no Handler of handler-host.dev/v1alpha1; write one"
    )]
    #[case::an_unknown_field(
        &format!("{}---\n{}  limts: {{}}\n", handler("a"), handler("b")),
        "DIR/a.yaml, document 2: spec.limts is no field of a Handler; there it has children, config, limits, module, parent, rollout, serviceAccount"
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
}
