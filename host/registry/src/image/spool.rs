use std::env;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use handler_host_core::{Digest, DigestError};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::RegistryProblem;

/// How many parts of a body wait to be written. A registry that sends faster than the disk writes is not read on.
const WAITING: usize = 8;

/// Where the parts of an image are put while they are pulled. Only what has the digest that was asked for comes into memory,
/// once; what a hostile registry sends does not.
pub(super) struct Spool {
    /// A directory for files without a name, which are gone when they are closed.
    pub(super) directory: Option<PathBuf>,
}

/// A part of an image that is being pulled.
pub(super) struct Spooling {
    chunks: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<Bytes, RegistryProblem>>,
}

impl Spool {
    /// Begins to take a part with this digest and size. It is hashed and written by a thread for what blocks.
    pub(super) fn start(self, digest: Digest, size: u64) -> Spooling {
        let (chunks, received) = mpsc::channel(WAITING);
        let writer = spawn_blocking(move || write(received, self.file(), digest, size));
        Spooling { chunks, writer }
    }

    /// A file without a name in the first directory that takes one.
    fn file(&self) -> Option<File> {
        let directories = self.directory.iter().cloned().chain([env::temp_dir()]);
        directories
            .into_iter()
            .find_map(|directory| tempfile::tempfile_in(directory).ok())
    }
}

impl Spooling {
    /// Takes some bytes, in their order. It is false if no more are wanted, since they cannot be written.
    pub(super) async fn take(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// The part, if all of it was taken and it has the digest that was asked for.
    pub(super) async fn finish(self) -> Result<Bytes, RegistryProblem> {
        drop(self.chunks);
        let written = self.writer.await;
        written.unwrap_or_else(|error| Err(RegistryProblem::Unkept(error.to_string())))
    }
}

fn write(
    mut chunks: mpsc::Receiver<Bytes>,
    mut file: Option<File>,
    expected: Digest,
    size: u64,
) -> Result<Bytes, RegistryProblem> {
    let unkept = |error: io::Error| RegistryProblem::Unkept(error.to_string());
    let mut hasher = Sha256::new();
    // Where there is no place for files, memory must do. It grows only with what was sent.
    let mut memory = Vec::new();
    while let Some(chunk) = chunks.blocking_recv() {
        hasher.update(&chunk);
        match &mut file {
            Some(file) => file.write_all(&chunk).map_err(unkept)?,
            None => memory.extend_from_slice(&chunk),
        }
    }
    let found = digest(hasher)?;
    if found != expected {
        return Err(RegistryProblem::Digest {
            what: "the module that the registry sends".to_owned(),
            expected,
            found,
        });
    }
    if let Some(mut file) = file {
        file.rewind().map_err(unkept)?;
        // One byte more, so that reading ends without growing it.
        let room = usize::try_from(size).unwrap_or_default().saturating_add(1);
        memory
            .try_reserve_exact(room)
            .map_err(|error| RegistryProblem::Unkept(error.to_string()))?;
        file.take(size).read_to_end(&mut memory).map_err(unkept)?;
    }
    memory.shrink_to_fit();
    Ok(memory.into())
}

fn digest(hasher: Sha256) -> Result<Digest, RegistryProblem> {
    let bytes = hasher.finalize();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha256:{hex}").parse();
    digest.map_err(|error: DigestError| RegistryProblem::Unkept(error.to_string()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    async fn spooled(
        directory: Option<PathBuf>,
        parts: &[&'static str],
        expected: &str,
    ) -> Result<Bytes, RegistryProblem> {
        let size = expected.len() as u64;
        let spooling = Spool { directory }.start(Digest::of(expected.as_bytes()), size);
        for part in parts {
            spooling.take(Bytes::from_static(part.as_bytes())).await;
        }
        spooling.finish().await
    }

    #[rstest]
    #[case::in_parts(&["on", "e"])]
    #[case::at_once(&["one"])]
    #[tokio::test]
    async fn what_was_asked_for_comes_whole(#[case] parts: &[&'static str]) {
        let folder = tempfile::tempdir().unwrap();
        for directory in [
            None,
            Some(folder.path().to_owned()),
            Some("/nowhere".into()),
        ] {
            assert_eq!(spooled(directory, parts, "one").await.unwrap(), "one");
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[rstest]
    #[case::another(&["two"])]
    #[case::a_part(&["on"])]
    #[case::nothing(&[])]
    #[tokio::test]
    async fn what_was_not_asked_for_is_refused(#[case] parts: &[&'static str]) {
        let error = spooled(None, parts, "one").await.unwrap_err();
        assert!(matches!(error, RegistryProblem::Digest { .. }), "{error}");
    }

    #[test]
    fn without_a_file_memory_does() {
        let (chunks, received) = mpsc::channel(1);
        chunks.blocking_send(Bytes::from_static(b"one")).unwrap();
        drop(chunks);
        let written = write(received, None, Digest::of(b"one"), 3);
        assert_eq!(written.unwrap(), "one");
    }
}
