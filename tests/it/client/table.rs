//! Every row of the table of dispositions, over real sockets: what happened before, and then the
//! response of the row.

use axum::body::Bytes;
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use reqwest_middleware::ClientBuilder;
use serde_json::Value;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{
    ClientLayer, Disposition, MemoryKeyStore, Operation, Operations, Profile, Report, Reported,
    observed_redirects,
};

use super::canned::{Canned, Turn};
use super::{connections, post, quick};

const TABLE: &str = include_str!("../../vectors/dispositions.json");

const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");

/// One combination of the lists of a row, after one of the things that may have happened before.
#[derive(Debug, Clone)]
struct Play {
    #[allow(dead_code)] // It is printed.
    what: String,
    before: &'static str,
    is_named: bool,
    status: u16,
    headers: Vec<(String, String)>,
    /// `None`: too long to be read.
    body: Option<String>,
    is_redirected: bool,
    profile: Profile,
    is: Disposition,
}

/// The longest body that the clients of these plays read.
const LIMIT: usize = 100;

fn plays() -> Vec<Play> {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let rows = table["rows"].as_array().unwrap();
    rows.iter().flat_map(|row| plays_of(row, &table["before"])).collect()
}

fn plays_of(row: &Value, groups: &Value) -> Vec<Play> {
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(values) => {
                values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
            }
            value => value.as_str().map(str::to_owned).into_iter().collect(),
        }
    };
    let befores = match row["before"].as_str().unwrap() {
        "any" => [texts(&groups["clear"]), texts(&groups["doubt"])].concat(),
        group => texts(&groups[group]),
    };
    let codes = match texts(&row["code"]) {
        none if none.is_empty() => vec![None],
        codes => codes.into_iter().map(Some).collect(),
    };
    let headers = row["headers"].as_object().into_iter().flatten();
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    let mut plays = Vec::new();
    for status in row["status"].as_array().unwrap().iter().map(|status| status.as_u64().unwrap()) {
        for code in &codes {
            for before in &befores {
                for is_named in [true, false] {
                    let mut headers = headers.clone();
                    let body = match (code, row.get("body")) {
                        (Some(code), _) => {
                            headers.push((PROBLEM.0.into(), PROBLEM.1.into()));
                            Some(format!(r#"{{"code":"{code}"}}"#))
                        }
                        (None, None) => Some(String::new()),
                        (None, Some(body)) => body.as_str().map(str::to_owned),
                    };
                    plays.push(Play {
                        what: row["what"].as_str().unwrap().to_owned(),
                        before: known(before),
                        is_named,
                        status: u16::try_from(status).unwrap(),
                        headers,
                        body,
                        is_redirected: row["redirected"].as_bool().unwrap_or(false),
                        profile: profile(row["profile"].as_str()),
                        is: disposition(row["is"].as_str().unwrap()),
                    });
                }
            }
        }
    }
    let asked = row["named"].as_bool();
    plays.retain(|play| asked.is_none_or(|is_named| is_named == play.is_named) && play.can_be());
    plays
}

fn known(before: &str) -> &'static str {
    let all = [
        "nothing",
        "limited",
        "invalid",
        "lost",
        "cut",
        "failed",
        "gateway",
        "in_flight",
        "restarted",
    ];
    all.into_iter().find(|known| *known == before).unwrap_or_else(|| panic!("{before}"))
}

fn profile(name: Option<&str>) -> Profile {
    match name {
        None | Some("default") => Profile::Default,
        Some("ietf") => Profile::Ietf,
        Some("stripe") => Profile::Stripe,
        Some(other) => panic!("{other}"),
    }
}

fn disposition(name: &str) -> Disposition {
    match name {
        "final" => Disposition::Final,
        "retry" => Disposition::Retry,
        "unknown" => Disposition::Unknown,
        other => panic!("{other}"),
    }
}

/// What a call came to: the status of its response, and what the client says of it.
type Said = (u16, Report);

impl Play {
    /// Only browsers hide a redirect behind the status 0. An unnamed operation ends with its call,
    /// so that nothing that takes two calls can have come before.
    fn can_be(&self) -> bool {
        self.status != 0 && (self.is_named || !["invalid", "restarted"].contains(&self.before))
    }

    fn turns_before(&self) -> Vec<Turn> {
        match self.before {
            "limited" => vec![Turn::status(429)],
            "invalid" => vec![Turn::status(422)],
            "lost" => vec![Turn::Fail],
            "cut" => vec![Turn::Cut],
            "failed" => vec![Turn::status(500)],
            "gateway" => vec![Turn::status(504)],
            "in_flight" => {
                vec![Turn::response(409, &[PROBLEM], r#"{"code":"idempotency_key_in_flight"}"#)]
            }
            _ => Vec::new(),
        }
    }

    fn turns(&self) -> Vec<Turn> {
        let mut turns = self.turns_before();
        if self.is_redirected {
            // To another address, and to its own.
            let to = if self.status == 200 { "/orders?by=card" } else { "/login" };
            turns.push(Turn::response(303, &[("location", to)], ""));
        }
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let body = self.body.clone().unwrap_or_else(|| "x".repeat(LIMIT + 1));
        turns.push(Turn::response(self.status, &headers, &body));
        turns
    }

    /// The attempts of the call that gets the response of the row.
    fn attempts(&self) -> u32 {
        if ["nothing", "invalid", "restarted"].contains(&self.before) { 1 } else { 2 }
    }

    fn layer(&self) -> ClientLayer {
        quick().max_response(LIMIT).profile(self.profile)
    }

    /// The keys of all attempts, however they were sent.
    fn keys(&self, canned: &Canned) -> Vec<IdempotencyKey> {
        let name =
            if self.profile == Profile::Default { "x-idempotency-key" } else { "idempotency-key" };
        let keys = canned.asked().into_iter().map(|asked| {
            let [(header, value)] = asked.keys()[..] else {
                panic!("{self:?}: {:?}", asked.keys())
            };
            assert_eq!(
                (header, value.starts_with('"')),
                (name, self.profile == Profile::Ietf),
                "{self:?}"
            );
            IdempotencyKey::parse(value.as_bytes()).unwrap()
        });
        keys.collect()
    }

    async fn unnamed(&self, uri: &str) -> Said {
        if self.is_redirected {
            let client = following(self.layer());
            let response = client.post(uri).body("order").send().await.unwrap();
            return (response.status().as_u16(), response.report().unwrap().clone());
        }
        let response = self.layer().layer(connections()).oneshot(post(uri)).await.unwrap();
        read(response).await
    }

    async fn named(
        &self,
        operation: &mut Operation<MemoryKeyStore>,
        layer: ClientLayer,
        uri: &str,
    ) -> Said {
        if self.is_redirected {
            let request = following(layer).post(uri).body("order");
            let response = operation.send_reqwest(request).await.unwrap();
            return (response.status().as_u16(), response.report().unwrap().clone());
        }
        let response = operation.send(&mut layer.layer(connections()), post(uri)).await.unwrap();
        read(response).await
    }

    /// An unnamed operation is retried as long as it is to be, and reports what came of it.
    async fn assert_unnamed(&self) {
        let canned = Canned::turns(self.turns());
        let (_server, uri) = canned.serve().await;
        let (status, report) = self.unnamed(&uri).await;
        let expected = match self.is {
            // The server does it after that.
            Disposition::Retry => (201, Disposition::Final, self.attempts() + 1),
            is => (self.status, is, self.attempts()),
        };
        assert_eq!((status, report.disposition(), report.attempts()), expected, "{self:?}");
        self.assert_one_key(&canned, report.key().unwrap(), expected.2);
    }

    fn assert_one_key(&self, canned: &Canned, key: &IdempotencyKey, attempts: u32) {
        let keys = self.keys(canned);
        let hops = usize::from(self.is_redirected);
        assert_eq!(keys.len(), attempts as usize + hops, "{self:?}");
        assert!(keys.iter().all(|sent| sent == key), "{self:?}: {keys:?}");
    }

    /// A named operation is finished by a final response. After every other one its key stays.
    async fn assert_named(&self) {
        let canned = Canned::turns(self.turns());
        let (_server, uri) = canned.serve().await;
        let store = MemoryKeyStore::new();
        let begin = async || Operations::new(store.clone()).begin("order").await.unwrap();
        let mut operation = begin().await;
        match self.before {
            // Nothing is known of what it did.
            "restarted" => operation = begin().await,
            "invalid" => assert_eq!(self.named(&mut operation, self.layer(), &uri).await.0, 422),
            _ => {}
        }
        let key = operation.key().clone();
        let layer = self.layer().max_attempts(self.attempts().try_into().unwrap());
        let (status, report) = self.named(&mut operation, layer, &uri).await;
        let said = (status, report.disposition(), report.attempts());
        assert_eq!(said, (self.status, self.is, self.attempts()), "{self:?}");
        assert_eq!(
            (report.key(), operation.disposition()),
            (Some(&key), Some(self.is)),
            "{self:?}"
        );
        let earlier = u32::from(self.before == "invalid");
        self.assert_one_key(&canned, &key, self.attempts() + earlier);

        let is_final = self.is == Disposition::Final;
        assert_eq!(operation.finish().await.unwrap(), is_final, "{self:?}");
        let next = begin().await;
        assert_eq!((next.key() != &key, !next.is_resumed()), (is_final, is_final), "{self:?}");
    }
}

async fn read<B>(response: http::Response<B>) -> Said
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let said = (response.status().as_u16(), response.report().unwrap().clone());
    response.into_body().collect().await.unwrap();
    said
}

fn following(layer: ClientLayer) -> reqwest_middleware::ClientWithMiddleware {
    let client = reqwest::Client::builder().redirect(observed_redirects(Policy::default()));
    ClientBuilder::new(client.build().unwrap()).with(layer).build()
}

/// Plays them all, some at a time.
async fn play(is_named: bool) {
    let mut playing = JoinSet::new();
    let plays: Vec<_> = plays().into_iter().filter(|play| play.is_named == is_named).collect();
    assert!(plays.len() > 1000, "{}", plays.len());
    for play in plays {
        if playing.len() >= 16 {
            playing.join_next().await.unwrap().unwrap();
        }
        playing.spawn(async move {
            if play.is_named { play.assert_named().await } else { play.assert_unnamed().await }
        });
    }
    playing.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_true_of_unnamed_operations_over_real_sockets() {
    play(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_true_of_named_operations_over_real_sockets() {
    play(true).await;
}
