use handler_host_core::Digest;

/// Whether a text names registry, repository, and tag or digest. The CRD's rule of `spec.module.image` says the same.
pub(super) fn is_reference(text: &str) -> bool {
    let (name, digest) = cut(text.split_once('@'), text);
    let Some((registry, path)) = name.split_once('/') else {
        return false;
    };
    let (repository, tag) = cut(path.rsplit_once(':'), path);
    (tag.is_some() || digest.is_some())
        && is_registry(registry)
        && repository.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(|digest| digest.parse::<Digest>().is_ok())
}

fn cut<'a>(parts: Option<(&'a str, &'a str)>, whole: &'a str) -> (&'a str, Option<&'a str>) {
    parts.map_or((whole, None), |(front, back)| (front, Some(back)))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = cut(text.split_once(':'), text);
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_word)
        && text.ends_with(is_word)
        && text.chars().all(|c| is_word(c) || "._-".contains(c))
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[rstest]
    #[case("registry.example/evc:1")]
    #[case("localhost:5000/a/b/c:latest")]
    #[case("registry.example/my_team/e-v.c:V1.2-rc")]
    #[case(&format!("registry.example/evc@{DIGEST}"))]
    #[case(&format!("registry.example/evc:1@{DIGEST}"))]
    fn an_image_has_registry_repository_and_tag_or_digest(#[case] text: &str) {
        assert!(is_reference(text));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_registry("evc:1")]
    #[case::neither_tag_nor_digest("registry.example/evc")]
    #[case::only_a_port("localhost:5000/evc")]
    #[case::an_empty_tag("registry.example/evc:")]
    #[case::an_empty_repository("registry.example/:1")]
    #[case::an_empty_part("registry.example//evc:1")]
    #[case::capitals("registry.example/Evc:1")]
    #[case::a_scheme("https://registry.example/evc:1")]
    #[case::blanks("registry.example/e v:1")]
    #[case::a_short_digest("registry.example/evc@sha256:00")]
    #[case::a_port_of_letters("registry.example:http/evc:1")]
    #[case::a_path_that_ends_in_a_dot("registry.example/evc.:1")]
    fn anything_else_is_no_image(#[case] text: &str) {
        assert!(!is_reference(text));
    }
}
