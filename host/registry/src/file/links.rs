use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux itself follows.
const LINKS: usize = 40;

/// The directories in which a change may put another file at the path: the directory of each link on the way, and
/// the directory of the file itself. If a part of the path is missing, the last directory that exists is among
/// them, because the missing part would appear there.
pub(super) fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
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
                directories.insert(here.clone());
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(step);
                }
            }
            Ok(None) if !rest.is_empty() => here = next,
            Ok(_) | Err(_) => {
                directories.insert(here);
                return directories;
            }
        }
    }
    directories
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
        let found = directories(&root.join(path));
        let below = found.iter().map(|directory| {
            let below = directory.strip_prefix(root).unwrap_or(directory);
            below.display().to_string()
        });
        below.collect()
    }

    #[test]
    fn the_directories_of_every_link_and_of_the_file_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("volume/..2024_1")).unwrap();
        fs::write(root.join("volume/..2024_1/evc.wasm"), "a").unwrap();
        symlink("..2024_1", root.join("volume/..data")).unwrap();
        symlink("..data/evc.wasm", root.join("volume/evc.wasm")).unwrap();
        symlink(root.join("volume"), root.join("modules")).unwrap();

        assert_eq!(of(&root, "volume/evc.wasm"), ["volume", "volume/..2024_1"]);
        assert_eq!(
            of(&root, "modules/evc.wasm"),
            ["", "volume", "volume/..2024_1"]
        );
        assert_eq!(of(&root, "volume/../modules/x"), ["", "volume"]);
    }

    #[test]
    fn if_a_part_of_the_path_is_missing_the_last_directory_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(of(&root, "evc.wasm"), [""]);
        assert_eq!(of(&root, "not/yet/evc.wasm"), [""]);
        symlink("a", root.join("b")).unwrap();
        symlink("b", root.join("a")).unwrap();
        assert_eq!(of(&root, "a/evc.wasm"), [""]);
        symlink("gone/evc.wasm", root.join("dangling")).unwrap();
        assert_eq!(of(&root, "dangling"), [""]);
    }
}
