use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux itself follows.
const LINKS: usize = 40;

/// The names that may lead to another file at the path when they change, each with its directory: that of each link on the
/// way, and that of the file itself. If a part of the path is missing, its name is among them, in the last directory that
/// exists.
pub(super) fn steps_of(path: &Path) -> BTreeSet<(PathBuf, OsString)> {
    let mut found = BTreeSet::new();
    let mut rest: VecDeque<OsString> = steps(path).collect();
    let mut here = match path.is_absolute() {
        true => PathBuf::from("/"),
        false => std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
    };
    let mut links = 0;
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&step);
        match followed(&next) {
            Ok(Some(target)) if links < LINKS => {
                links += 1;
                found.insert((here.clone(), step));
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(step);
                }
            }
            Ok(None) if !rest.is_empty() => here = next,
            Ok(_) | Err(_) => {
                found.insert((here, step));
                return found;
            }
        }
    }
    found
}

fn steps(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// The target of a link. It is None for anything else.
fn followed(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::symlink_metadata(path)?.is_symlink() {
        true => fs::read_link(path).map(Some),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn of(root: &Path, path: &str) -> Vec<String> {
        let found = steps_of(&root.join(path));
        let below = found.iter().map(|(directory, name)| {
            let below = directory.strip_prefix(root).unwrap_or(directory);
            format!("{} in {:?}", name.display(), below)
        });
        below.collect()
    }

    #[test]
    fn the_names_of_every_link_and_of_the_file_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("volume/..2024_1")).unwrap();
        fs::write(root.join("volume/..2024_1/evc.wasm"), "a").unwrap();
        symlink("..2024_1", root.join("volume/..data")).unwrap();
        symlink("..data/evc.wasm", root.join("volume/evc.wasm")).unwrap();
        symlink(root.join("volume"), root.join("modules")).unwrap();

        let in_volume = [
            r#"..data in "volume""#,
            r#"evc.wasm in "volume""#,
            r#"evc.wasm in "volume/..2024_1""#,
        ];
        assert_eq!(of(&root, "volume/evc.wasm"), in_volume);
        assert_eq!(
            of(&root, "modules/evc.wasm"),
            [&[r#"modules in """#], in_volume.as_slice()].concat()
        );
        assert_eq!(
            of(&root, "volume/../modules/x"),
            [r#"modules in """#, r#"x in "volume""#]
        );
    }

    #[test]
    fn if_a_part_of_the_path_is_missing_its_name_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(of(&root, "evc.wasm"), [r#"evc.wasm in """#]);
        assert_eq!(of(&root, "not/yet/evc.wasm"), [r#"not in """#]);
        symlink("a", root.join("b")).unwrap();
        symlink("b", root.join("a")).unwrap();
        assert_eq!(of(&root, "a/evc.wasm"), [r#"a in """#, r#"b in """#]);
        symlink("gone/evc.wasm", root.join("dangling")).unwrap();
        assert_eq!(
            of(&root, "dangling"),
            [r#"dangling in """#, r#"gone in """#]
        );
    }
}
