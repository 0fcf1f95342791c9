//! The statements of the store on a driver that can send one before the reply to the last one.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

/// The claim, as a statement of its own. The store sends it in the text of the `BEGIN`.
const CLAIM: &str = "SELECT set_config('idempotency.claim', \
    CASE WHEN pg_try_advisory_xact_lock($1::bigint # records) THEN \
    CASE WHEN pg_try_advisory_xact_lock($2::bigint # records) THEN current_setting('lock_timeout') \
    ELSE 'another' END ELSE 'same' END, true), set_config('lock_timeout', '1500', true) \
    FROM (SELECT 'idempotency_records'::regclass::oid::bigint << 32 AS records) AS one";
const PAY: &str = "INSERT INTO payments (amount, receiver) VALUES ($1, $2)";

/// One connection with its prepared statements.
pub(crate) struct Driver {
    client: Client,
    reserve: Statement,
    settle: Statement,
    claim: Statement,
    look: Statement,
    complete: Statement,
    pay: Statement,
    begin: Statement,
    commit: Statement,
}

impl Driver {
    pub(crate) async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        // A COMMIT that is sent before the reply to the response must not commit without it.
        let complete = format!(
            "WITH written AS ({}) SELECT 1 / count(*) FROM written",
            sql(include_str!("../../src/store/sql/postgres/complete.sql"))
        );
        Self {
            reserve: prepare(&client, include_str!("../../src/store/sql/postgres/reserve.sql"))
                .await,
            settle: prepare(&client, include_str!("../../src/store/sql/postgres/settle.sql")).await,
            claim: prepare(&client, CLAIM).await,
            look: prepare(&client, include_str!("../../src/store/sql/postgres/claim.sql")).await,
            complete: prepare(&client, &complete).await,
            pay: prepare(&client, PAY).await,
            begin: prepare(&client, "BEGIN").await,
            commit: prepare(&client, "COMMIT").await,
            client,
        }
    }

    /// Reserves a key and stores a response, in two round trips.
    pub(crate) async fn reserve_and_complete(&self) {
        let [key, token] = [bytes(), bytes()];
        let fingerprint = [2_u8; 33];
        let values: [&(dyn ToSql + Sync); 5] =
            [&&key[..], &&token[..], &&fingerprint[..], &10_000_i64, &DAY];
        let row = self.client.query_one(&self.reserve, &values).await.unwrap();
        assert_eq!(row.get::<_, &[u8]>("token"), token);
        let response = Response::new();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&key, &token, &"success", &DAY];
        values.extend(response.values());
        assert!(self.client.query_opt(&self.settle, &values).await.unwrap().is_some());
    }

    /// A whole attempt in three round trips: BEGIN, claim and look; the INSERT of the handler; the
    /// response and COMMIT.
    pub(crate) async fn attempt(&self) {
        let [key, token] = [bytes(), bytes()];
        let locks = [number(), number()];
        let claim: [&(dyn ToSql + Sync); 2] = [&locks[0], &locks[1]];
        let look: [&(dyn ToSql + Sync); 2] = [&key, &locks[1]];
        // In this order, because each is sent when it is polled first.
        let (begun, claimed, looked) = tokio::join!(
            biased;
            self.client.execute(&self.begin, &[]),
            self.client.query_one(&self.claim, &claim),
            self.client.query_one(&self.look, &look),
        );
        begun.unwrap();
        claimed.unwrap();
        let looked = looked.unwrap();
        // The lock timeout of the session: the key is this attempt's own.
        assert_eq!(looked.get::<_, &str>("claim"), "0");
        assert_eq!(looked.get::<_, Option<&str>>("status"), None);

        self.client.execute(&self.pay, &[&1200_i64, &"acct_2"]).await.unwrap();

        let (mark, records): (i64, i64) = (looked.get("mark"), looked.get("records"));
        let (fingerprint, response) = (vec![2_u8; 33], Response::new());
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&key, &token, &"success", &DAY];
        values.extend(response.values());
        values.extend([
            &fingerprint as &(dyn ToSql + Sync),
            &1_i64,
            &None::<Vec<u8>>,
            &mark,
            &records,
        ]);
        let (written, committed) = tokio::join!(
            biased;
            self.client.query_one(&self.complete, &values),
            self.client.execute(&self.commit, &[]),
        );
        written.unwrap();
        committed.unwrap();
    }
}

const DAY: i64 = 86_400_000;

struct Response {
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl Response {
    fn new() -> Self {
        Self { headers: b"content-type: application/json\n".to_vec(), body: vec![b'x'; 200] }
    }

    fn values(&self) -> [&(dyn ToSql + Sync); 6] {
        [&201_i64, &self.headers, &None::<Vec<u8>>, &None::<String>, &self.body, &None::<String>]
    }
}

async fn prepare(client: &Client, text: &str) -> Statement {
    client.prepare(&sql(text)).await.unwrap()
}

/// Without its comments.
fn sql(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("--")).collect();
    lines.join("\n").replace("{records}", "idempotency_records")
}

/// Never the same twice, and spread like digests.
fn number() -> i64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    next.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed()
}

fn bytes() -> Vec<u8> {
    [number().to_be_bytes(), number().to_be_bytes()].concat()
}
