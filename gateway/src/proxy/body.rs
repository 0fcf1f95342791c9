//! Bodies on their way through the gateway, in pieces as they come.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

mod progress;

pub(crate) use progress::Progress;

/// Why a body ended before its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    Broken(hyper::Error),
    Idle,
    TooLarge,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken(_) => "the body broke off",
            Self::Idle => "the body paused for too long",
            Self::TooLarge => "the body is too large",
        })
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Idle | Self::TooLarge => None,
        }
    }
}

pin_project! {
    /// A body that is passed on as it comes, with a limit on its pauses.
    #[derive(Debug)]
    pub(crate) struct Paced {
        #[pin]
        body: Incoming,
        idle: Duration,
        // Made at the first pause.
        pause: Option<Pin<Box<Sleep>>>,
        is_paused: bool,
        // The bytes that are still let through.
        left: Option<usize>,
        progress: Option<Progress>,
    }
}

impl Paced {
    pub(crate) fn new(body: Incoming, idle: Duration, limit: Option<usize>) -> Self {
        Self { body, idle, pause: None, is_paused: false, left: limit, progress: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.project();
        let Poll::Ready(frame) = this.body.poll_frame(cx) else {
            let pause = this.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(*this.idle)));
            if !*this.is_paused {
                pause.as_mut().reset(tokio::time::Instant::now() + *this.idle);
                *this.is_paused = true;
            }
            return pause.as_mut().poll(cx).map(|()| Some(Err(BodyError::Idle)));
        };
        *this.is_paused = false;
        if let Some(progress) = this.progress {
            progress.note();
        }
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        };
        if let (Some(left), Some(data)) = (this.left, frame.data_ref()) {
            match left.checked_sub(data.remaining()) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Some(Err(BodyError::TooLarge))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// The body of a request or a response.
    #[derive(Debug)]
    #[project = Projection]
    pub(crate) enum MessageBody {
        Paced { #[pin] body: Paced },
        // The layer has read it, or it is of the gateway itself.
        Whole { #[pin] body: Full<Bytes>, bytes: Bytes },
    }
}

impl MessageBody {
    /// All of it, if it was read already.
    pub(super) fn into_whole(self) -> Result<Bytes, Self> {
        match self {
            Self::Whole { bytes, .. } => Ok(bytes),
            Self::Paced { .. } => Err(self),
        }
    }

    /// Notes from now on when a part of it is sent. `None`: there is nothing to wait for.
    pub(super) fn progress(&mut self) -> Option<Progress> {
        match self {
            Self::Paced { body } if !body.is_end_stream() => {
                let progress = Progress::now();
                body.progress = Some(progress.clone());
                Some(progress)
            }
            _ => None,
        }
    }
}

impl From<Bytes> for MessageBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole { body: Full::new(bytes.clone()), bytes }
    }
}

impl From<Paced> for MessageBody {
    fn from(body: Paced) -> Self {
        Self::Paced { body }
    }
}

impl Body for MessageBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project() {
            Projection::Paced { body } => body.poll_frame(cx),
            Projection::Whole { body, .. } => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Paced { body } => body.is_end_stream(),
            Self::Whole { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Paced { body } => body.size_hint(),
            Self::Whole { body, .. } => body.size_hint(),
        }
    }
}

pub(crate) type RequestBody = MessageBody;
pub(crate) type ResponseBody = MessageBody;
