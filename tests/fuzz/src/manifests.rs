use handler_host_registry::{RegistryProblem, module_layer};

/// The longest text of a problem: it stands in a condition, and a foreign server decides what is in it.
const LONGEST: usize = 8 << 10;

/// Reads what a registry sends as the manifest of an image.
pub fn manifests(data: &[u8]) {
    match module_layer(data) {
        Ok(layer) => {
            let text = String::from_utf8_lossy(data);
            let hex = layer.digest.to_string();
            let hex = hex.rsplit(':').next().expect("a digest has digits");
            // A digest is also found if its letters are written as escapes.
            assert!(
                text.contains(hex) || text.contains('\\'),
                "{hex} is made up"
            );
        }
        Err(problem) => {
            let told = problem.to_string();
            assert!(told.len() <= LONGEST, "{} bytes are told", told.len());
            assert!(!told.chars().any(char::is_control), "{told:?}");
            assert!(
                matches!(
                    problem,
                    RegistryProblem::Garbled { .. }
                        | RegistryProblem::NoModule { .. }
                        | RegistryProblem::SeveralModules(_)
                        | RegistryProblem::Index
                ),
                "{problem}"
            );
        }
    }
}
