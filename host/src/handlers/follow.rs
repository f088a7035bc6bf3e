use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures::Stream;
use handler_host_cluster::HandlerNews;
use handler_host_cluster::resource::Handler;

use super::read;

/// How often files of Handlers are read again. The files are few and small, and for a mounted volume or a network
/// file system there are no notifications of changes.
const EVERY: Duration = Duration::from_secs(1);

/// Files of Handlers, and what was read from them so far.
struct Followed {
    paths: Vec<PathBuf>,
    first: Option<Vec<Handler>>,
    names: BTreeSet<String>,
    logged: String,
}

/// The Handlers of these paths: first those that were read already, then the Handlers of each change of the files.
/// An error in the files is logged once, and the Handlers that were read before remain in use.
pub(crate) fn follow(paths: Vec<PathBuf>, first: Vec<Handler>) -> impl Stream<Item = HandlerNews> {
    let followed = Followed {
        paths,
        first: Some(first),
        names: BTreeSet::new(),
        logged: String::new(),
    };
    futures::stream::unfold(followed, async |mut followed| {
        let handlers = match followed.first.take() {
            Some(first) => first,
            None => followed.next().await,
        };
        followed.names = names(&handlers);
        Some((HandlerNews::All(handlers, Vec::new()), followed))
    })
}

impl Followed {
    async fn next(&mut self) -> Vec<Handler> {
        let mut missing = BTreeSet::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let handlers = match self.read().await {
                Ok(handlers) => handlers,
                Err(error) => {
                    self.log_once(format!("{error:#}"));
                    continue;
                }
            };
            self.logged.clear();
            let found = names(&handlers);
            let gone: BTreeSet<_> = self.names.difference(&found).cloned().collect();
            // Editors save by removing a file and creating another. So a Handler is gone when it is missing twice in
            // a row.
            if gone.is_subset(&missing) {
                return handlers;
            }
            missing = gone;
        }
    }

    async fn read(&self) -> Result<Vec<Handler>> {
        let paths = self.paths.clone();
        tokio::task::spawn_blocking(move || read(&paths)).await?
    }

    fn log_once(&mut self, problem: String) {
        if problem != self.logged {
            tracing::error!("{problem}; the Handlers read before go on");
            self.logged = problem;
        }
    }
}

fn names(handlers: &[Handler]) -> BTreeSet<String> {
    let names = handlers.iter().map(|it| it.metadata.name.clone());
    names.map(Option::unwrap_or_default).collect()
}
