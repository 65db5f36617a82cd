//! A request's body as it comes: in pieces, unpacked, within a limit and a deadline.
//!
//! Invariant: no more than one piece of a body is held here, whatever its length and however well it
//! packs.

use super::error::{ApiError, ErrorCode};
use crate::service::limits::{BODY_LIMIT, DISCARD_BYTES_MAX, DISCARD_LIMIT, UNPACK_STEP_BYTES};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use std::io::Write as _;
use tokio::time::Instant;

/// A body that is being read.
pub(crate) struct BodyReader {
    body: Body,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// Packed bytes that are there and not unpacked yet.
    packed: Bytes,
    limit: usize,
    unpacked: usize,
    deadline: Instant,
}

impl BodyReader {
    /// Starts to read a body of at most `limit` bytes, unpacked; one that says it is longer is refused at
    /// once.
    pub(crate) async fn start(
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<Self, ApiError> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        let gzip = match encoding.map(HeaderValue::as_bytes) {
            None | Some(b"identity") => None,
            Some(b"gzip" | b"x-gzip") => Some(MultiGzDecoder::new(Vec::new())),
            Some(other) => {
                let other = super::error::echo(&String::from_utf8_lossy(other));
                return Err(ApiError::new(
                    ErrorCode::MediaType,
                    format!("content-encoding `{other}` is not taken"),
                    "send the body plain or packed with gzip",
                )
                .closing());
            }
        };
        let mut reader = Self {
            body,
            gzip,
            packed: Bytes::new(),
            limit,
            unpacked: 0,
            deadline: Instant::now() + BODY_LIMIT,
        };
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit as u64) {
            return Err(reader.too_large().await);
        }
        Ok(reader)
    }

    /// Reads the next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = match self.gzip {
            None => self.receive().await?,
            Some(_) => self.unpack().await?,
        };
        if let Some(piece) = &piece {
            self.unpacked = self.unpacked.saturating_add(piece.len());
            if self.unpacked > self.limit {
                return Err(self.too_large().await);
            }
        }
        Ok(piece)
    }

    /// Reads the whole body.
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>, ApiError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// Throws away what is left, within bounds, so that a client that writes before it reads gets its
    /// answer.
    pub(crate) async fn discard(&mut self) {
        let deadline = Instant::now() + DISCARD_LIMIT;
        let mut left = DISCARD_BYTES_MAX;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, self.body.frame()).await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else {
                break;
            };
            left = rest;
        }
    }

    async fn too_large(&mut self) -> ApiError {
        self.discard().await;
        let limit = self.limit;
        ApiError::new(
            ErrorCode::TooLarge,
            format!("the body is longer than {limit} bytes (unpacked)"),
            "split it, or raise node.body_bytes_max",
        )
        .closing()
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let frame = tokio::time::timeout_at(self.deadline, self.body.frame()).await;
            let frame = frame.map_err(|_late| {
                ApiError::new(
                    ErrorCode::Timeout,
                    format!(
                        "the body was not complete within {BODY_LIMIT:?}; nothing of it is stored"
                    ),
                    "send smaller bodies, or faster",
                )
                .closing()
            })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(piece) = frame.into_data()
                        && !piece.is_empty()
                    {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(error)) => {
                    return Err(ApiError::invalid(
                        format!("the body broke off, nothing of it is stored: {error}"),
                        "send the whole body",
                    )
                    .closing());
                }
            }
        }
    }

    async fn unpack(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if self.packed.is_empty() {
                match self.receive().await? {
                    Some(piece) => self.packed = piece,
                    None => return self.end_of_gzip(),
                }
            }
            let step = self
                .packed
                .split_to(UNPACK_STEP_BYTES.min(self.packed.len()));
            let Some(gzip) = &mut self.gzip else {
                return Ok(Some(step));
            };
            gzip.write_all(&step).map_err(|error| broken_gzip(&error))?;
            let unpacked = std::mem::take(gzip.get_mut());
            if !unpacked.is_empty() {
                return Ok(Some(unpacked.into()));
            }
        }
    }

    fn end_of_gzip(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(gzip) = &mut self.gzip else {
            return Ok(None);
        };
        gzip.try_finish().map_err(|error| broken_gzip(&error))?;
        let rest = std::mem::take(gzip.get_mut());
        // A second call finds nothing left.
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}

fn broken_gzip(error: &std::io::Error) -> ApiError {
    ApiError::invalid(
        format!("the body is no whole gzip, nothing of it is stored: {error}"),
        "pack it again, or send it plain",
    )
    .closing()
}
