//! What requests must look like, and what is answered to those that do not.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::time::timeout;

use crate::entry::Moment;
use crate::store::{self, Condition, StoreError};

/// In bytes, after decoding.
const LONGEST_KEY: usize = 512;
/// How many bytes of a body that is too long are read and forgotten. A client that is still sending when the connection
/// is closed may not see the answer.
const PATIENCE: usize = 16 << 20;
/// How long a client that has announced too long a body may go on sending it.
const LINGER: Duration = Duration::from_secs(1);

/// An answer of one line that says what was expected.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Refusal { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut line = self.message.replace(char::is_control, " ");
        line.push('\n');
        let mut response = (self.status, line).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(store::RETRY_AFTER.as_secs()));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Conflict => StatusCode::PRECONDITION_FAILED,
            StoreError::Gone(_) | StoreError::Stalled => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::new(status, error.to_string())
    }
}

pub(super) fn key(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Ok(Path(key)) = path else { return Err(Refusal::bad("bad key; expected UTF-8, percent-encoded")) };
    if key.len() > LONGEST_KEY {
        let message = format!("a key of {} bytes; expected at most {LONGEST_KEY}", key.len());
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, message));
    }
    if key.contains(char::is_control) {
        return Err(Refusal::bad("bad key; expected no control characters"));
    }
    Ok(key)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutQuery {
    ttl: Option<f64>,
}

pub(super) fn bad_ttl() -> Refusal {
    Refusal::bad("bad ttl; expected ?ttl=SECONDS, of at least 0.001, or no query")
}

/// When a value that is written now expires.
pub(super) fn expiry(query: &PutQuery) -> Result<Moment, Refusal> {
    let Some(seconds) = query.ttl else { return Ok(Moment::NEVER) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(ttl) if ttl >= Duration::from_millis(1) => Ok(Moment::now().after(ttl)),
        _ => Err(bad_ttl()),
    }
}

pub(super) fn etag(version: u64) -> HeaderValue {
    // Digits and quotes are always a header's value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a reader of `version` says that it has it.
pub(super) fn is_known(headers: &HeaderMap, version: u64) -> Result<bool, Refusal> {
    let Some(value) = headers.get(IF_NONE_MATCH) else { return Ok(false) };
    let bad = || Refusal::bad("bad If-None-Match; expected ETags in quotes, or *");
    let text = value.to_str().map_err(|_| bad())?.trim();
    if text != "*" && !(text.trim_start_matches("W/").starts_with('"') && text.ends_with('"')) {
        return Err(bad());
    }
    let known = headers.typed_try_get::<IfNoneMatch>().map_err(|_| bad())?.ok_or_else(bad)?;
    let tag: ETag = format!("\"{version}\"").parse().map_err(|_| bad())?;
    Ok(!known.precondition_passes(&tag))
}

/// The condition of a write.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, Refusal> {
    match (single(headers, &IF_MATCH)?, single(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Condition::None),
        (Some("*"), None) => Ok(Condition::Present),
        (Some(tag), None) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
            let bad = "bad If-Match; expected one ETag that this service gave, in quotes, or *";
            version.map(Condition::Version).ok_or_else(|| Refusal::bad(bad))
        }
        (None, Some("*")) => Ok(Condition::Absent),
        (None, Some(_)) => Err(Refusal::bad("bad If-None-Match; expected * with a write")),
        (Some(_), Some(_)) => Err(Refusal::bad("two conditions; expected If-Match or If-None-Match")),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value.trim())),
        _ => Err(Refusal::bad(format!("bad {name}; expected it once, in ASCII"))),
    }
}

/// The whole body, of at most `limit` bytes, unless it takes longer than `time` to arrive.
pub(super) async fn body(headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Bytes, Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let announced = announced.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let time = if announced > limit { time.min(LINGER) } else { time };
    let mut received = Received { bytes: Vec::with_capacity(announced.min(limit)), length: 0 };
    let ended = timeout(time, received.all_of(body, limit)).await;
    if received.length.max(announced) > limit {
        let message = format!("body too long; expected {limit} bytes at most");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let slow = || {
        let message = format!("slow body; expected it within {}", humantime::format_duration(time));
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
    };
    ended.map_err(|_| slow())??;
    Ok(Bytes::from(received.bytes))
}

/// What has come of a body.
struct Received {
    /// A copy: as it comes, it shares the connection's buffer, which would be kept as long as the value is.
    bytes: Vec<u8>,
    length: usize,
}

impl Received {
    async fn all_of(&mut self, mut body: Body, limit: usize) -> Result<(), Refusal> {
        while self.length <= limit + PATIENCE
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|error| Refusal::bad(format!("broken body: {error}; expected all of it")))?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            self.length += data.len();
            if self.length <= limit {
                self.bytes.extend_from_slice(data);
            }
        }
        Ok(())
    }
}
