//! Tokens by which the API server knows its users, and the kubeconfigs that carry them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::account::TestAccount;

/// The tokens of the accounts. Each start of a control plane makes new ones.
pub(crate) struct Tokens(Vec<(TestAccount, String)>);

impl Tokens {
    pub(crate) fn new(accounts: &[TestAccount]) -> Result<Self> {
        let mut random = File::open("/dev/urandom").context("cannot read /dev/urandom")?;
        let mut tokens = Vec::new();
        for &account in accounts {
            let mut bytes = [0; 16];
            random.read_exact(&mut bytes)?;
            let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            tokens.push((account, token));
        }
        Ok(Tokens(tokens))
    }

    /// Writes the file for `--token-auth-file` of kube-apiserver.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let lines = self.0.iter().map(|(account, token)| {
            let user = account.user();
            format!("{token},{user},{user},\"{}\"\n", account.groups())
        });
        write_private(path, &lines.collect::<String>())
    }

    /// Writes a kubeconfig for each account. The files are JSON, which is YAML too.
    pub(crate) fn write_kubeconfigs(
        &self,
        directory: &Path,
        server: &str,
        authority: &Path,
    ) -> Result<()> {
        for (account, token) in &self.0 {
            let user = account.user();
            let kubeconfig = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{
                    "name": "control-plane",
                    "cluster": {"server": server, "certificate-authority": authority},
                }],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": user, "context": {"cluster": "control-plane", "user": user}}],
                "current-context": user,
            });
            write_private(&account.kubeconfig(directory), &format!("{kubeconfig:#}\n"))?;
        }
        Ok(())
    }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
