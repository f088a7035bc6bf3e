use oci_spec::distribution::Reference;

/// Reads a reference, or says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err("it is a URL".to_owned());
    }
    text.parse::<Reference>().map_err(|error| error.to_string())
}
