use std::collections::HashMap;
use std::net::IpAddr;

use tokio::task::AbortHandle;

/// The connections that are being served, in the order in which they came, at most so many. Where there is no place left,
/// the oldest one of the client that has most is closed: nobody keeps others out.
pub(super) struct Connections {
    most: usize,
    open: Vec<(IpAddr, AbortHandle)>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            open: Vec::new(),
        }
    }

    /// Makes place for a connection of a client.
    pub(super) fn make_place(&mut self) {
        if self.open.len() < self.most {
            return;
        }
        self.open.retain(|(_, served)| !served.is_finished());
        while self.open.len() >= self.most {
            let Some(victim) = self.oldest_of_most() else {
                return;
            };
            let (_, served) = self.open.remove(victim);
            served.abort();
        }
    }

    pub(super) fn add(&mut self, client: IpAddr, served: AbortHandle) {
        self.open.push((client, served));
    }

    fn oldest_of_most(&self) -> Option<usize> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (client, _) in &self.open {
            *counts.entry(*client).or_default() += 1;
        }
        let most = counts.values().max()?;
        self.open
            .iter()
            .position(|(client, _)| counts.get(client) == Some(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that is never over.
    fn idle() -> AbortHandle {
        tokio::spawn(std::future::pending::<()>()).abort_handle()
    }

    fn client(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    #[tokio::test]
    async fn the_oldest_connection_of_the_client_with_most_is_closed() {
        let mut connections = Connections::new(4);
        for number in [1, 2, 2, 2] {
            connections.make_place();
            connections.add(client(number), idle());
        }
        connections.make_place();
        connections.add(client(3), idle());
        let clients: Vec<_> = connections.open.iter().map(|(client, _)| *client).collect();
        assert_eq!(clients, [1, 2, 2, 3].map(client));
    }

    #[tokio::test]
    async fn connections_that_are_over_make_place_first() {
        let mut connections = Connections::new(2);
        connections.add(client(1), idle());
        let over = tokio::spawn(async {});
        connections.add(client(2), over.abort_handle());
        over.await.unwrap();
        connections.make_place();
        assert_eq!(connections.open.len(), 1);
        assert_eq!(connections.open[0].0, client(1));
    }
}
