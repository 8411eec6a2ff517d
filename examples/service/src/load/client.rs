//! One connection to the service, kept alive from request to request.

use super::plan::Action;
use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, str::FromStr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// An instance of the service.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    authority: String,
    address: SocketAddr,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a URL such as http://127.0.0.1:8080, got {text:?}");
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let (Some("http"), Some(authority), "" | "/") = (uri.scheme_str(), uri.authority(), uri.path()) else {
            return Err(expected());
        };
        let host = authority.host().trim_matches(['[', ']']);
        let addresses = std::net::ToSocketAddrs::to_socket_addrs(&(host, authority.port_u16().unwrap_or(80)));
        let address = addresses.ok().and_then(|mut addresses| addresses.next());
        let address = address.ok_or_else(|| format!("expected {host} to be the name of a reachable host"))?;
        Ok(Self { authority: authority.to_string(), address })
    }
}

impl Target {
    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// No connection could be made.
    Connect,
    /// It ended before the answer was there.
    Lost,
    /// The answer took too long.
    Timeout,
}

impl Failure {
    /// The words for it in a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Lost => "connection lost",
            Self::Timeout => "no answer in time",
        }
    }
}

/// What the service answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// What it says of where the answer comes from.
    pub(crate) source: Source,
    /// The body.
    pub(crate) body: Bytes,
}

/// Where the service says that an answer comes from, in `x-cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The cache.
    Hit,
    /// The cache, which remembers that there is nothing.
    Negative,
    /// The cache, but past its time.
    Stale,
    /// The database, or it does not say.
    Database,
}

impl Source {
    fn of(response: &Response<Incoming>) -> Self {
        match response.headers().get("x-cache").map(|value| value.as_bytes()) {
            Some(b"hit") => Self::Hit,
            Some(b"negative") => Self::Negative,
            Some(b"stale") => Self::Stale,
            _ => Self::Database,
        }
    }
}

/// A connection, made when it is needed and again after it was lost.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Target,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// To that instance; a request fails after `timeout`.
    pub(crate) fn new(target: Target, timeout: Duration) -> Self {
        Self { target, timeout, sender: None }
    }

    /// The request of a plan for a key.
    pub(crate) fn request(&self, key: u32, action: Action, ttl: u64, value: Vec<u8>) -> Request<Full<Bytes>> {
        let (method, query) = match action {
            Action::Read => (Method::GET, String::new()),
            Action::Write => (Method::PUT, String::new()),
            Action::WriteExpiring => (Method::PUT, format!("?ttl={ttl}")),
            Action::Delete => (Method::DELETE, String::new()),
        };
        let request = Request::builder().method(method).uri(format!("/cache/key-{key}{query}"));
        let request = request.header(HOST, &self.target.authority).body(Full::from(value));
        request.expect("the parts of the request are valid")
    }

    /// Sends a request and waits for all of the answer. It must run within a local set, which keeps the connection going.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let answer = timeout(self.timeout, self.exchange(request)).await;
        let answer = answer.unwrap_or(Err(Failure::Timeout));
        if answer.is_err() {
            // Its answer may still come, and would be taken for that of the next request.
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        let sender = match &mut self.sender {
            Some(sender) => sender,
            sender => sender.insert(connect(self.target.address).await.map_err(|_| Failure::Connect)?),
        };
        let response = sender.send_request(request).await.map_err(|_| Failure::Lost)?;
        let (status, source) = (response.status(), Source::of(&response));
        let body = response.into_body().collect().await.map_err(|_| Failure::Lost)?.to_bytes();
        Ok(Answer { status, source, body })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async { drop(connection.await) });
    Ok(sender)
}

/// One GET on a connection of its own, outside of any runtime: for what is asked once, such as `/status.json`.
pub(crate) fn get(target: &Target, path: &str) -> Result<Bytes> {
    let what = || format!("could not get {path} from {}", target.url());
    let request = Request::get(path).header(HOST, &target.authority).body(Full::default()).with_context(what)?;
    let mut connection = Connection::new(target.clone(), Duration::from_secs(10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = tokio::task::LocalSet::new().block_on(&runtime, connection.ask(request));
    let answer = answer.map_err(|failure| anyhow::anyhow!("{}: {}", what(), failure.name()))?;
    ensure!(answer.status.is_success(), "{}: {}", what(), answer.status);
    Ok(answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_and_nothing_else() {
        let target: Target = "http://127.0.0.1:8080/".parse().unwrap();
        assert_eq!((target.address.port(), target.url()), (8080, "http://127.0.0.1:8080".into()));
        assert_eq!("http://[::1]".parse::<Target>().unwrap().address.port(), 80);
        for bad in ["127.0.0.1:8080", "https://localhost", "http://localhost/cache", "", "http://"] {
            assert!(bad.parse::<Target>().unwrap_err().starts_with("expected a URL such as"), "{bad}");
        }
    }
}
