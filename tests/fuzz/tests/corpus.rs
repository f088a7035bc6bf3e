//! Plays what is known: the corpora of all targets, and what an API server made of quantities.

// The exceptions for tests in clippy.toml do not cover functions that tests share.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use handler_host_core::canonical;
use handler_host_fuzz::{answers, documents, handlers, manifests, modules, quantities, recorded};
use handler_sdk::Quantity;
use rstest::rstest;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[rstest]
#[case::answers("answers", answers)]
#[case::documents("documents", documents)]
#[case::handlers("handlers", handlers)]
#[case::manifests("manifests", manifests)]
#[case::modules("modules", modules)]
#[case::quantities("quantities", quantities)]
fn the_promises_hold_for_every_input_of_the_corpus(
    #[case] folder: &str,
    #[case] target: fn(&[u8]),
) {
    let files = files(&format!("corpus/{folder}"));
    assert!(!files.is_empty());
    for file in files {
        // It is shown where the target panics.
        println!("{}", file.display());
        target(&fs::read(&file).unwrap());
    }
}

/// libFuzzer needs the bytes, and people the text. `UPDATE_CORPUS=1` writes the bytes anew.
#[test]
fn the_modules_of_the_corpus_are_those_of_their_texts() {
    let texts = files("modules");
    assert_eq!(texts.len(), files("corpus/modules").len());
    for text in texts {
        let bytes = wat::parse_file(&text).unwrap();
        let name = text.with_extension("wasm");
        let name = name.file_name().unwrap();
        let module = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus/modules")
            .join(name);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::write(&module, &bytes).unwrap();
        }
        assert_eq!(fs::read(&module).unwrap(), bytes, "{}", module.display());
    }
}

#[test]
fn quantities_are_what_an_api_server_made_of_them() {
    let mut wrong = Vec::new();
    for record in recorded() {
        quantities(record.text.as_bytes());
        let form = canonical(record.text);
        let is_known = record.text.parse::<Quantity>().is_ok();
        let is_right = match record.stored {
            // What is out of range has no form here, and is compared as a text.
            Some(stored) => form
                .as_deref()
                .is_none_or(|form| form == stored || record.text == stored),
            None => form.is_none() && !is_known,
        };
        if !is_right {
            wrong.push(format!("{record:?}: {form:?}, for a handler {is_known}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
