//! What happens in a schedule, and when: drawn from its seed alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::Kind;
use crate::support::random::Draw;
use crate::support::wire::{State, Way};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnAbandoned {
    Rerun,
    Reject,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) kind: Kind,
    pub(super) settings: Settings,
    pub(super) operations: Vec<Operation>,
    /// One after another, beside those of the other list.
    pub(super) process_faults: Vec<Planned>,
    pub(super) store_faults: Vec<Planned>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) sandboxes: usize,
    pub(super) lease: Duration,
    pub(super) store_timeout: Duration,
    /// `None` to reject retries of an operation in flight.
    pub(super) wait: Option<Duration>,
    pub(super) on_failed: &'static str,
    pub(super) on_abandoned: OnAbandoned,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    pub(super) key: String,
    /// After the start of the schedule.
    pub(super) at: Duration,
    pub(super) order: Value,
    /// Whether the handler responds with 500 or panics, and has no effect.
    pub(super) fails: bool,
    /// How long the handler takes.
    pub(super) takes: Duration,
    pub(super) senders: Vec<Sender>,
    /// How often it is sent again after a response.
    pub(super) retries: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sender {
    /// After the start of the operation.
    pub(super) after: Duration,
    pub(super) first_sandbox: usize,
    /// When it hangs up on its first request.
    pub(super) hang_up: Option<Duration>,
    /// When it gives up on a request without a response.
    pub(super) patience: Duration,
    pub(super) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Planned {
    /// After the one before was undone.
    pub(super) pause: Duration,
    pub(super) lasts: Duration,
    pub(super) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// SIGKILL; a new process takes its place.
    Kill(usize),
    /// SIGSTOP, then SIGCONT: a zombie, if its lease has lapsed meanwhile.
    Stop(usize),
    /// SIGTERM; a new process takes its place when it has ended.
    Drain(usize),
    /// What the network between this sandbox and the store does.
    Network(usize, State),
    Store(StoreFault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreFault {
    /// SIGSTOP, then SIGCONT. For a file: another process writes, and takes its time.
    Stop,
    /// SIGKILL, then a start with its data.
    Crash,
    /// SIGKILL, then a start without its data.
    Wipe,
    /// SIGKILL of a primary; a replica takes its place.
    KillPrimary,
    /// SIGSTOP of a primary; a replica takes its place, and the old one comes back.
    StopPrimary,
    /// A failover on command.
    Failover,
}

impl Fault {
    /// Whether the store may lose writes that it has acknowledged.
    pub(super) fn may_lose(self) -> bool {
        use StoreFault::{Failover, KillPrimary, StopPrimary, Wipe};
        matches!(self, Self::Store(Wipe | KillPrimary | StopPrimary | Failover))
    }
}

/// How far apart operations begin, on average.
const PACE: Duration = Duration::from_millis(40);

impl Plan {
    pub(super) fn draw(
        seed: u64,
        kind: Kind,
        on_abandoned: OnAbandoned,
        operations: usize,
    ) -> Self {
        let draw = Draw::from_seed(seed);
        let settings = Settings::draw(&mut draw.part("settings"), on_abandoned);
        let length = PACE * u32::try_from(operations).unwrap();
        let mut of_operations = draw.part("operations");
        let operations = (0..operations)
            .map(|number| Operation::draw(&mut of_operations, number, length, &settings))
            .collect();
        let process_faults =
            faults(&mut draw.part("processes"), length, |draw| process_fault(draw, &settings));
        let mut store_faults =
            faults(&mut draw.part("store"), length, |draw| store_fault(draw, kind, &settings));
        // A server that was emptied loses every key at once, so any key may have a double. One
        // schedule in eight ends so; in the others no key may be lost.
        if kind == Kind::Redis && seed.is_multiple_of(8) {
            let last = store_faults.last_mut().expect("there is a fault at least");
            last.fault = Fault::Store(StoreFault::Wipe);
        }
        Self { seed, kind, settings, operations, process_faults, store_faults }
    }
}

impl Settings {
    fn draw(draw: &mut Draw, on_abandoned: OnAbandoned) -> Self {
        Self {
            sandboxes: draw.index(2) + 2,
            lease: draw.millis(600, 2000),
            store_timeout: draw.millis(300, 1000),
            wait: draw.chance(50).then_some(Duration::from_secs(3)),
            on_failed: draw.one_of(&["rerun", "rerun", "replay", "refuse"]),
            on_abandoned,
        }
    }

    pub(super) fn flags(&self) -> Vec<String> {
        let millis = |duration: Duration| format!("{}ms", duration.as_millis());
        let on_abandoned = match self.on_abandoned {
            OnAbandoned::Rerun => "rerun",
            OnAbandoned::Reject => "refuse",
        };
        let flags = [
            ("--lease", millis(self.lease)),
            ("--store-timeout", millis(self.store_timeout)),
            (
                "--in-flight",
                self.wait.map_or("reject".into(), |wait| format!("wait:{}", millis(wait))),
            ),
            ("--on-failed", self.on_failed.into()),
            ("--on-abandoned", on_abandoned.into()),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}

impl Operation {
    fn draw(draw: &mut Draw, number: usize, length: Duration, settings: &Settings) -> Self {
        let lease = u64::try_from(settings.lease.as_millis()).unwrap();
        let (delay, after) = match draw.index(10) {
            0 => (draw.between(0, lease * 3 / 2), draw.between(0, 50)),
            1 => (draw.between(0, 50), draw.between(0, lease * 3 / 2)),
            2..5 => (draw.between(0, 200), draw.between(0, 300)),
            _ => (draw.between(0, 5), draw.between(0, 10)),
        };
        let mut knobs = json!({ "delay_ms": delay, "after_ms": after });
        let fails = draw.chance(8);
        if fails && draw.chance(50) {
            knobs["panic"] = "before".into();
        } else if fails {
            knobs["status"] = 500.into();
        }
        if draw.chance(20) {
            // Around the size from which on responses are stored apart from their records, and
            // well above it.
            knobs["bytes"] = draw.one_of(&[1500, 1900, 2100, 20_000, 200_000]).into();
        }
        if draw.chance(10) {
            knobs["set_cookie"] = true.into();
        }
        let senders = draw.one_of(&[1, 1, 1, 1, 2, 2, 3]);
        let senders =
            (0..senders).map(|_| Sender::draw(draw, delay + after, settings.sandboxes)).collect();
        Self {
            key: format!("order-{number}"),
            at: draw.millis(0, u64::try_from(length.as_millis()).unwrap()),
            order: json!({ "amount": number + 1, "currency": "EUR", "to": "acct_2", "sandbox": knobs }),
            fails,
            takes: Duration::from_millis(delay + after),
            senders,
            retries: draw.index(2) + 1,
        }
    }
}

impl Sender {
    fn draw(draw: &mut Draw, takes: u64, sandboxes: usize) -> Self {
        Self {
            after: draw.millis(0, 60),
            first_sandbox: draw.index(sandboxes),
            hang_up: draw.chance(12).then(|| draw.millis(0, takes + 20)),
            patience: draw.millis(800, 4000),
            seed: draw.next(),
        }
    }
}

/// One fault after another, until the last operation has begun. The first third of the time is
/// quiet: there, only a bug runs an operation twice. At least one fault.
fn faults(
    draw: &mut Draw,
    length: Duration,
    mut one: impl FnMut(&mut Draw) -> Planned,
) -> Vec<Planned> {
    let mut planned = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        let mut next = one(draw);
        if planned.is_empty() {
            next.pause += length / 3;
        }
        at += next.pause + next.lasts;
        if at > length && !planned.is_empty() {
            return planned;
        }
        planned.push(next);
    }
}

fn process_fault(draw: &mut Draw, settings: &Settings) -> Planned {
    let sandbox = draw.index(settings.sandboxes);
    let lease = u64::try_from(settings.lease.as_millis()).unwrap();
    let (fault, lasts) = match draw.index(5) {
        0 | 1 => (Fault::Kill(sandbox), draw.millis(10, 600)),
        // Shorter than the lease, and longer.
        2 => (Fault::Stop(sandbox), draw.millis(50, lease)),
        3 => (Fault::Stop(sandbox), draw.millis(lease, lease * 2)),
        _ => (Fault::Drain(sandbox), draw.millis(10, 300)),
    };
    Planned { pause: draw.millis(100, 1200), lasts, fault }
}

fn store_fault(draw: &mut Draw, kind: Kind, settings: &Settings) -> Planned {
    let (fault, lasts) = if kind.has_network() && draw.chance(60) {
        let state = network(draw);
        (Fault::Network(draw.index(settings.sandboxes), state), draw.millis(50, 2500))
    } else {
        let lasts = kind.lasts();
        (Fault::Store(draw.one_of(kind.faults())), draw.millis(lasts.0, lasts.1))
    };
    Planned { pause: draw.millis(100, 1200), lasts, fault }
}

fn network(draw: &mut Draw) -> State {
    let pass = Way::Pass;
    let slow = Way::Delay(draw.millis(5, 400));
    let [requests, replies] = match draw.index(8) {
        0 => [slow, pass],
        1 => [slow, slow],
        2 => [Way::Hold, Way::Hold],
        3 => [Way::Hold, pass],
        4 => [pass, Way::Hold],
        5 => [pass, Way::Lose],
        6 => [pass, Way::Sever],
        _ => return State::Closed,
    };
    State::Open { requests, replies }
}

mod tests;
