use std::path::PathBuf;
use std::time::Duration;

use futures::Stream;
use handler_host_cluster::HandlerNews;
use handler_host_cluster::resource::Handler;

use super::read;

/// How often files of Handlers are read again. They are few and small, and a mounted volume or a network file
/// system tells nobody when it changes.
const EVERY: Duration = Duration::from_secs(1);

/// The Handlers of these paths: those read already, then whatever the files hold. Files that will not do are
/// told once, and what was read before goes on.
pub(crate) fn follow(paths: Vec<PathBuf>, first: Vec<Handler>) -> impl Stream<Item = HandlerNews> {
    let start = (paths, Some(first), String::new());
    futures::stream::unfold(start, async |(paths, first, mut told)| {
        if let Some(first) = first {
            return Some((HandlerNews::All(first, Vec::new()), (paths, None, told)));
        }
        loop {
            tokio::time::sleep(EVERY).await;
            let again = paths.clone();
            let problem = match tokio::task::spawn_blocking(move || read(&again)).await {
                Ok(Ok(handlers)) => {
                    let news = HandlerNews::All(handlers, Vec::new());
                    return Some((news, (paths, None, String::new())));
                }
                Ok(Err(error)) => format!("{error:#}"),
                Err(error) => error.to_string(),
            };
            if problem != told {
                tracing::error!("{problem}; the Handlers read before go on");
                told = problem;
            }
        }
    })
}
