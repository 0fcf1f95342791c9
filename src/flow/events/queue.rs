//! The queue of one subscriber, and the task that tells it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Event, Notice};
use crate::flow::telemetry;
use crate::runtime::lock::lock;
use crate::runtime::seldom::Seldom;
use crate::runtime::task::{Caught, catch_panic};

/// How many events may wait for the subscriber. One takes about 200 bytes.
pub(super) const CAPACITY: usize = 16_384;

/// After a pause without events, the task waits so long for more of them. Otherwise each request
/// would wake it.
pub(super) const LINGER: Duration = Duration::from_millis(5);

type Told = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(super) type Subscriber = Box<dyn FnMut(Notice) -> Told + Send>;

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
    /// Everything was told.
    drained: Notify,
    failing: Seldom,
}

struct Waiting {
    notices: VecDeque<Notice>,
    /// Whether the subscriber has notices that are not in the queue any more.
    is_telling: bool,
    /// Whether the task waits for more.
    is_idle: bool,
    /// Whether there will be no more.
    is_closed: bool,
    /// `None` while a task has it.
    subscriber: Option<Subscriber>,
}

impl Queue {
    pub(super) fn new(subscriber: Subscriber) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(Waiting {
                notices: VecDeque::new(),
                is_telling: false,
                is_idle: false,
                is_closed: false,
                subscriber: Some(subscriber),
            }),
            more: Notify::new(),
            drained: Notify::new(),
            failing: Seldom::new(),
        })
    }

    /// Adds an event. It is lost if the queue is full.
    pub(super) fn push(self: &Arc<Self>, event: Event) {
        let mut waiting = lock(&self.waiting);
        let is_full = waiting.notices.len() >= CAPACITY;
        match waiting.notices.back_mut() {
            Some(Notice::Lost(lost)) if is_full => *lost += 1,
            _ if is_full => waiting.notices.push_back(Notice::Lost(1)),
            _ => waiting.notices.push_back(Notice::Event(event)),
        }
        let is_idle = take(&mut waiting.is_idle);
        self.start(&mut waiting);
        drop(waiting);
        if is_full {
            telemetry::event_lost();
        }
        if is_idle {
            self.more.notify_one();
        }
    }

    /// Starts the task: the first time, or again after its runtime has ended.
    fn start(self: &Arc<Self>, waiting: &mut Waiting) {
        if waiting.subscriber.is_some()
            && let Ok(runtime) = Handle::try_current()
        {
            let subscriber = waiting.subscriber.take();
            let task = Task { queue: Arc::clone(self), subscriber, notices: VecDeque::new() };
            runtime.spawn(task.run());
        }
    }

    /// Waits until the subscriber has been told everything.
    pub(super) async fn drained(self: &Arc<Self>) {
        loop {
            let drained = self.drained.notified();
            {
                let mut waiting = lock(&self.waiting);
                if waiting.notices.is_empty() && !waiting.is_telling {
                    return;
                }
                self.start(&mut waiting);
            }
            drained.await;
        }
    }

    /// Ends the task when it has told everything.
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.more.notify_one();
    }

    /// The notices so far. If there are none, the task is to wait.
    fn take(&self) -> Taken {
        let mut waiting = lock(&self.waiting);
        let notices = take(&mut waiting.notices);
        waiting.is_telling = !notices.is_empty();
        waiting.is_idle = notices.is_empty();
        if !waiting.is_idle {
            return Taken::Notices(notices);
        }
        self.drained.notify_waiters();
        if waiting.is_closed { Taken::End } else { Taken::Nothing }
    }
}

enum Taken {
    Notices(VecDeque<Notice>),
    Nothing,
    End,
}

/// The task of a queue. If its runtime ends, the queue gets the subscriber back, and the
/// notices that are left.
struct Task {
    queue: Arc<Queue>,
    subscriber: Option<Subscriber>,
    notices: VecDeque<Notice>,
}

impl Task {
    async fn run(mut self) {
        loop {
            match self.queue.take() {
                Taken::Notices(notices) => self.notices = notices,
                Taken::Nothing => {
                    self.queue.more.notified().await;
                    sleep(LINGER).await;
                }
                Taken::End => return,
            }
            while let Some(notice) = self.notices.pop_front() {
                self.tell(notice).await;
            }
        }
    }

    /// Tells the subscriber. If it panics, it is told the next one all the same.
    async fn tell(&mut self, notice: Notice) {
        let Some(subscriber) = &mut self.subscriber else { return };
        let told = async {
            subscriber(notice).await;
            Ok::<_, Infallible>(())
        };
        let told = pin!(catch_panic(told));
        if matches!(told.await, Caught::Panicked(_)) && self.queue.failing.is_due() {
            tracing::error!(
                "the subscriber of `on_event` panicked: it has missed an event; correct it"
            );
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let mut waiting = lock(&self.queue.waiting);
        waiting.is_telling = false;
        waiting.is_idle = false;
        waiting.subscriber = self.subscriber.take();
        self.notices.append(&mut waiting.notices);
        waiting.notices = take(&mut self.notices);
        drop(waiting);
        self.queue.drained.notify_waiters();
    }
}
