use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures::Stream;
use handler_host_cluster::HandlerNews;
use handler_host_cluster::resource::Handler;

use super::read;

/// How often files of Handlers are read again. They are few and small, and a mounted volume or a network file
/// system tells nobody when it changes.
const EVERY: Duration = Duration::from_secs(1);

/// Files of Handlers, and what was read of them so far.
struct Followed {
    paths: Vec<PathBuf>,
    first: Option<Vec<Handler>>,
    names: BTreeSet<String>,
    told: String,
}

/// The Handlers of these paths: those read already, then whatever the files hold. Files that will not do are
/// told once, and what was read before goes on.
pub(crate) fn follow(paths: Vec<PathBuf>, first: Vec<Handler>) -> impl Stream<Item = HandlerNews> {
    let followed = Followed {
        paths,
        first: Some(first),
        names: BTreeSet::new(),
        told: String::new(),
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
                    self.tell(format!("{error:#}"));
                    continue;
                }
            };
            self.told.clear();
            let found = names(&handlers);
            let gone: BTreeSet<_> = self.names.difference(&found).cloned().collect();
            // Editors save by taking a file away and putting another there: gone is what is gone twice.
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

    fn tell(&mut self, problem: String) {
        if problem != self.told {
            tracing::error!("{problem}; the Handlers read before go on");
            self.told = problem;
        }
    }
}

fn names(handlers: &[Handler]) -> BTreeSet<String> {
    let names = handlers.iter().map(|it| it.metadata.name.clone());
    names.map(Option::unwrap_or_default).collect()
}
