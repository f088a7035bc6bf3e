mod api_server;
mod promises;
mod scene;

use handler_host_core::Response;
use scene::Scene;

/// Plays what a handler answered for a parent through all that the host decides about it: the check, the plan, the
/// second plan once all is written, what the parent is told. The input is a scene in lines of text.
pub fn answers(data: &[u8]) {
    let Some(scene) = Scene::read(&String::from_utf8_lossy(data)) else {
        return;
    };
    promises::hold(&scene);
}

/// Plays what a guest answered.
pub(crate) fn answered(response: Response) {
    if let Some(scene) = Scene::read("") {
        promises::hold(&Scene { response, ..scene });
    }
}
