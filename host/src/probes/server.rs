use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::check::{Check, answer};
use super::connections::Connections;
use super::{MetricsFormat, ProbeAnswers};

/// How many connections are served at the same time.
const CONNECTIONS: usize = 256;
/// How long a client may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long one connection may last.
const TIME_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn serve(listener: TcpListener, answers: Arc<ProbeAnswers>) {
    let mut connections = Connections::new(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((connection, client)) => {
                let answers = answers.clone();
                connections.make_place();
                let served = tokio::spawn(async move {
                    let _ = tokio::time::timeout(TIME_LIMIT, converse(connection, answers)).await;
                });
                connections.add(client.ip(), served.abort_handle());
            }
            Err(error) => {
                // The client may have closed the connection, or the process may have no file descriptor left. Neither
                // must end the host.
                tracing::debug!("a connection to the probes was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one request.
async fn converse(connection: TcpStream, answers: Arc<ProbeAnswers>) {
    let service = service_fn(|request| {
        let response = respond(&answers, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), service);
    // An error means that the client closed the connection, so it needs no answer.
    let _ = conversation.await;
}

fn respond(answers: &ProbeAnswers, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
    }
    let query = request.uri().query().unwrap_or_default();
    let is_verbose = query.split('&').any(|pair| pair.starts_with("verbose"));
    match request.uri().path() {
        "/livez" => probe("livez", &answers.liveness(), is_verbose),
        "/readyz" => probe("readyz", &answers.readiness(), is_verbose),
        "/metrics" => {
            let accepted = request.headers().get_all(ACCEPT).iter();
            let accepted = accepted.filter_map(|value| value.to_str().ok());
            let format = MetricsFormat::accepted(&accepted.collect::<Vec<_>>().join(","));
            match answers.metrics(format) {
                Ok(metrics) => typed(StatusCode::OK, format.content_type(), metrics),
                Err(error) => {
                    let problem = format!("the metrics cannot be written: {error}\n");
                    text(StatusCode::INTERNAL_SERVER_ERROR, &problem)
                }
            }
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "nothing is here; ask for /livez, /readyz or /metrics\n",
        ),
    }
}

fn probe(name: &str, checks: &[Check], is_verbose: bool) -> Response<Full<Bytes>> {
    let (passed, body) = answer(name, checks, is_verbose);
    let status = if passed {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    text(status, &body)
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body.to_owned())
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = http::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
