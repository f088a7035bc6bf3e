use std::fmt::Write as _;

use handler_host_cluster::{Authorization, Lack};
use handler_host_core::{
    Account, ConditionType, HandlerCondition, HandlerReason, Settings, rights_in_words,
};

use crate::rbac::HOST_ACCOUNT;

/// The condition `Authorized`. `rbac_arguments` are those with which `handler-host rbac` prints what the handler
/// needs.
pub(super) fn authorized(
    authorization: &Authorization,
    settings: &Settings,
    rbac_arguments: &str,
    namespaces: &[String],
) -> HandlerCondition {
    let Authorization { host, lack } = authorization;
    let account = settings.account.as_ref();
    let user = account.map_or_else(|| host.clone(), Account::user);
    let problem = match lack {
        Lack::Nothing => {
            return HandlerCondition::new(
                ConditionType::Authorized,
                HandlerReason::Authorized,
                format!("{user} may do all that serving takes."),
            );
        }
        Lack::Rights(rights) => format!("{user} may not {}", rights_in_words(rights)),
        Lack::Impersonation => format!("the host, {host}, may not act as {user}"),
    };
    let command = granting_command(rbac_arguments, host, namespaces);
    HandlerCondition::new(
        ConditionType::Authorized,
        HandlerReason::Forbidden,
        format!("{problem}; grant it: {command}"),
    )
}

/// The command that grants what is missing.
fn granting_command(rbac_arguments: &str, host: &str, namespaces: &[String]) -> String {
    let mut command = format!("handler-host rbac {rbac_arguments}");
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

/// The word, quoted if a shell would take it apart.
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
    fn the_granting_command_names_what_is_not_the_default() {
        let command = |host: &str, namespaces: &[&str]| {
            let namespaces: Vec<_> = namespaces.iter().map(|it| (*it).to_owned()).collect();
            granting_command("--handler evc", host, &namespaces)
        };
        assert_eq!(
            command("system:serviceaccount:handler-host:handler-host", &[]),
            "handler-host rbac --handler evc | kubectl apply -f -"
        );
        assert_eq!(
            command("system:serviceaccount:ops:host", &["a", "b"]),
            "handler-host rbac --handler evc --namespace a --namespace b --host-account ops/host | kubectl apply -f -"
        );
        assert_eq!(
            command("Jane Doe", &[]),
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
