//! An admission webhook that refuses objects.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A webhook on a loopback port, with a certificate of its own. It refuses each object whose field `data.refuse` holds an
/// HTTP status code, with that code, and takes all others.
pub struct RefusingWebhook {
    address: SocketAddr,
    /// Its certificate, in PEM.
    certificate: String,
    serving: JoinHandle<()>,
}

impl RefusingWebhook {
    /// Starts it. Panics if that is impossible.
    pub async fn start() -> Self {
        Self::try_start()
            .await
            .unwrap_or_else(|error| panic!("no webhook: {error:#}"))
    }

    async fn try_start() -> Result<Self> {
        let names = vec![Ipv4Addr::LOCALHOST.to_string()];
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der());
        let key = key.map_err(|error| anyhow::anyhow!("the key is none: {error}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            address: listener.local_addr()?,
            certificate: cert.pem(),
            serving: tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)))),
        })
    }

    /// Where the API server finds it: the field `clientConfig` of a webhook.
    pub fn client_config(&self) -> Value {
        let bundle = k8s_openapi::ByteString(self.certificate.clone().into_bytes());
        json!({"url": format!("https://{}/", self.address), "caBundle": bundle})
    }
}

impl Drop for RefusingWebhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        connections.spawn(async move {
            let stream = TokioIo::new(tls.accept(stream).await.ok()?);
            let connection = hyper::server::conn::http1::Builder::new();
            let served = connection.serve_connection(stream, service_fn(answer));
            // A connection that the API server ends is no error.
            served.await.ok()
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = match review(request).await {
        Ok(review) => Response::new(Full::from(review.to_string())),
        Err(error) => {
            let mut answer = Response::new(Full::from(format!("{error:#}")));
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
            answer
        }
    };
    Ok(answer)
}

async fn review(request: Request<Incoming>) -> Result<Value> {
    let body = request.into_body().collect().await?.to_bytes();
    let asked: Value = serde_json::from_slice(&body)?;
    let uid = asked["request"]["uid"].as_str().context("no uid")?;
    let code = asked["request"]["object"]["data"]["refuse"].as_str();
    let code: Option<u16> = code.map(str::parse).transpose()?;
    let mut response = json!({"uid": uid, "allowed": code.is_none()});
    if let Some(code) = code {
        response["status"] = json!({"code": code, "message": "not on a Friday"});
    }
    Ok(
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
    )
}
