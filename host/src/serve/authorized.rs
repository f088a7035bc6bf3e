use std::fmt::Write as _;

use anyhow::Result;
use handler_host_cluster::{Actors, Authorization, Lack, Review, Say};
use handler_host_core::{Account, Settings, rights, rights_in_words};

use super::sink::FORBIDDEN;
use super::steward::Steward;
use crate::rbac::HOST_ACCOUNT;

/// What a steward does about the rights of its handler's account.
impl Steward {
    pub(super) fn actors(&self) -> Actors {
        Actors {
            host: self.host.clients.own(),
            handler: self.client.client.clone(),
        }
    }

    /// Has the rights reviewed that serving takes now, unless that goes on already.
    pub(super) fn review_rights(&mut self) {
        // As the status says it, by which `rbac` goes.
        let running = self.running.as_ref();
        let has_finalizer = running.is_some_and(|it| it.active.description.has_finalizer);
        let Some(rules) = self.stage.rules(has_finalizer) else {
            return;
        };
        let rights = rights(&rules, &self.host.options.namespaces);
        if self.review.as_ref().map(Review::rights) == Some(&rights) {
            return;
        }
        let account = self.settings.account.clone();
        let refused = self.client.refused.clone();
        self.review = Some(Review::start(self.actors(), account, rights, refused));
    }

    pub(super) fn lacks_rights(&self) -> bool {
        let authorized = self.view.authorized.as_ref();
        authorized.is_some_and(|say| !say.is_true)
    }

    /// Something else was found out about the rights.
    pub(super) async fn reviewed(&mut self, authorization: &Authorization) -> Result<()> {
        let namespaces = &self.host.options.namespaces;
        let say = say(
            authorization,
            &self.settings,
            &self.desk.asked_of_rbac,
            namespaces,
        );
        let was_lacking = self.lacks_rights();
        self.view.authorized = Some(say);
        if was_lacking && authorization.lack == Lack::Nothing {
            return self.go_on().await;
        }
        Ok(())
    }

    /// All rights are there again.
    async fn go_on(&mut self) -> Result<()> {
        tracing::info!(handler = %self.settings.name, "its account may do all that serving takes again");
        if let Some(serving) = self.stage.serving() {
            serving.look_again();
        }
        // A module that failed its trial meanwhile may have failed for want of a right.
        if self.rejected.take().is_some() {
            self.host.clear_rejected(&self.key).await;
            self.view.begin_anew();
            self.consider().await?;
        }
        Ok(())
    }
}

/// Waits for news of a review, if there is one.
pub(super) async fn news(review: &mut Option<Review>) -> Option<Authorization> {
    match review {
        Some(review) => review.next().await,
        None => std::future::pending().await,
    }
}

fn say(
    authorization: &Authorization,
    settings: &Settings,
    asked: &str,
    namespaces: &[String],
) -> Say {
    let Authorization { host, lack } = authorization;
    let who = settings
        .account
        .as_ref()
        .map_or_else(|| host.clone(), Account::user);
    let problem = match lack {
        Lack::Nothing => {
            return Say {
                is_true: true,
                reason: "Authorized",
                message: format!("{who} may do all that serving takes."),
            };
        }
        Lack::Rights(rights) => format!("{who} may not {}", rights_in_words(rights)),
        Lack::Impersonation => format!("the host, {host}, may not act as {who}"),
    };
    Say {
        is_true: false,
        reason: FORBIDDEN,
        message: format!("{problem}; grant it: {}", fix(asked, host, namespaces)),
    }
}

/// The command that grants what is missing.
fn fix(asked: &str, host: &str, namespaces: &[String]) -> String {
    let mut command = format!("handler-host rbac {asked}");
    for namespace in namespaces {
        // Writing to a text does not fail.
        let _ = write!(command, " --namespace {namespace}");
    }
    let account = Account::of_user(host);
    let named = account.map_or_else(|| host.to_owned(), |account| account.to_string());
    if named != HOST_ACCOUNT {
        let _ = write!(command, " --host-account {}", quoted(&named));
    }
    command.push_str(" | kubectl apply -f -");
    command
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_names_what_is_not_the_default() {
        let fix = |host: &str, namespaces: &[&str]| {
            let namespaces: Vec<_> = namespaces.iter().map(|it| (*it).to_owned()).collect();
            super::fix("--handler evc", host, &namespaces)
        };
        assert_eq!(
            fix("system:serviceaccount:handler-host:handler-host", &[]),
            "handler-host rbac --handler evc | kubectl apply -f -"
        );
        assert_eq!(
            fix("system:serviceaccount:ops:host", &["a", "b"]),
            "handler-host rbac --handler evc --namespace a --namespace b --host-account ops/host | kubectl apply -f -"
        );
        assert_eq!(
            fix("Jane Doe", &[]),
            "handler-host rbac --handler evc --host-account 'Jane Doe' | kubectl apply -f -"
        );
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(quoted("handlers/evc.yaml"), "handlers/evc.yaml");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
