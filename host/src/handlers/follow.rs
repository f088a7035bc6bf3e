use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use futures::Stream;
use handler_host_cluster::HandlerNews;
use handler_host_cluster::resource::Handler;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::files::{FilesLook, HandlerFiles};

/// How often files of Handlers are looked at. For a mounted volume or a network file system there are no notifications of
/// changes.
const EVERY: Duration = Duration::from_secs(1);
/// How much longer than a look the pause after it is at least, however many files there are.
const PAUSE: u32 = 20;
/// How many Handlers wait to be taken while more are read.
const WAITING: usize = 64;

/// The Handlers of files, and what was told of them so far.
struct Followed {
    files: HandlerFiles,
    told: BTreeSet<String>,
    /// The Handlers that were told and missing at the last look.
    missing: BTreeSet<String>,
    /// What is wrong with the names of the Handlers.
    twice: Vec<String>,
    logged: String,
}

/// The Handlers of these files. The first files were read already; of the others, each Handler comes when it was read. Once
/// all were read, all come, and again after each change. What is wrong with a file is logged once, and the Handlers that it
/// held before remain in use.
pub(crate) fn follow(files: HandlerFiles) -> impl Stream<Item = HandlerNews> {
    let (news, received) = mpsc::channel(WAITING);
    let followed = Followed {
        files,
        told: BTreeSet::new(),
        missing: BTreeSet::new(),
        twice: Vec::new(),
        logged: String::new(),
    };
    // It ends when nobody receives any more.
    spawn_blocking(move || followed.tell(&news));
    futures::stream::unfold(received, async |mut received| {
        let news = received.recv().await?;
        Some((news, received))
    })
}

impl Followed {
    fn tell(mut self, news: &mpsc::Sender<HandlerNews>) {
        let look = self.first_look(news);
        self.take(look, true, news);
        while !news.is_closed() {
            let started = Instant::now();
            let look = self.files.look(usize::MAX, |_| {});
            self.take(look, false, news);
            thread::sleep(EVERY.max(started.elapsed() * PAUSE));
        }
    }

    /// Reads the files that were not read yet, and tells of each Handler at once. Of several with one name it is the first.
    fn first_look(&mut self, news: &mpsc::Sender<HandlerNews>) -> FilesLook {
        let told = &mut self.told;
        let mut tell = |handler: &Handler| {
            let name = handler.metadata.name.clone();
            if told.insert(name.unwrap_or_default()) {
                // This fails only if nobody listens any more.
                let _ = news.blocking_send(HandlerNews::Applied(Box::new(handler.clone())));
            }
        };
        let (known, _) = self.files.handlers();
        known.iter().for_each(&mut tell);
        self.files
            .look(usize::MAX, |document| tell(&document.handler))
    }

    fn take(&mut self, look: FilesLook, is_first: bool, news: &mpsc::Sender<HandlerNews>) {
        let is_news = is_first || look.is_changed || !self.missing.is_empty();
        let mut problems = look.problems;
        if is_news {
            let (handlers, twice) = self.files.handlers();
            self.twice = twice;
            self.tell_all(handlers, news);
        }
        problems.extend(self.twice.iter().cloned());
        self.log(&problems);
    }

    fn tell_all(&mut self, handlers: Vec<Handler>, news: &mpsc::Sender<HandlerNews>) {
        let names = handlers.iter().map(|it| it.metadata.name.clone());
        let found: BTreeSet<String> = names.map(Option::unwrap_or_default).collect();
        let gone: BTreeSet<_> = self.told.difference(&found).cloned().collect();
        // Editors save by removing a file and creating another. So a Handler is gone when it is missing twice in a row.
        if !gone.is_subset(&self.missing) {
            self.missing = gone;
            return;
        }
        self.missing.clear();
        self.told = found;
        // This fails only if nobody listens any more.
        let _ = news.blocking_send(HandlerNews::All(handlers, Vec::new()));
    }

    /// Logs what is wrong with the files, if that is not what was wrong before.
    fn log(&mut self, problems: &[String]) {
        let mut problem = problems.first().cloned().unwrap_or_default();
        if let Some(more) = problems.len().checked_sub(1).filter(|more| *more > 0) {
            problem = format!("{problem}; and {more} more such problems");
        }
        if problem != self.logged && !problem.is_empty() {
            tracing::error!("{problem}; the Handlers read before go on");
        }
        self.logged = problem;
    }
}
