//! Redirects that are followed below the layer: what comes at their end is not the outcome.

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_idempotency::client::{
    Disposition, MarkRedirects, MemoryKeyStore, Operation, Operations, Redirected, Report, Reported,
};

use super::{Canned, Turn, connections, post, quick};

/// To another address, and back to the one of the request.
const TO: [&str; 2] = ["/login", "/orders?by=card"];

fn redirect(status: u16, to: &str) -> Turn {
    Turn::response(status, &[("location", to)], "")
}

fn login_page() -> Turn {
    Turn::response(200, &[("content-type", "text/html")], "log in")
}

/// The failed attempts before a redirect.
fn histories() -> [Vec<Turn>; 3] {
    [vec![], vec![Turn::Fail], vec![Turn::Cut]]
}

async fn begin() -> Operation<MemoryKeyStore> {
    Operations::new(MemoryKeyStore::new()).begin("payout 1").await.unwrap()
}

#[tokio::test]
async fn a_login_page_behind_a_redirect_does_not_settle_an_operation() {
    for (status, to) in [(301, TO[0]), (302, TO[0]), (303, TO[0]), (302, TO[1]), (303, TO[1])] {
        for before in histories() {
            let attempts = before.len() + 1;
            let canned =
                Canned::turns(before.into_iter().chain([redirect(status, to), login_page()]));
            let (_server, uri) = canned.serve().await;
            let stack =
                ServiceBuilder::new().layer(FollowRedirectLayer::new()).layer(MarkRedirects);
            let mut client = quick().layer(stack.service(connections()));
            let mut operation = begin().await;
            let response = operation.send(&mut client, post(&uri)).await.unwrap();
            assert_eq!(
                (response.status(), canned.count()),
                (200.try_into().unwrap(), attempts + 1)
            );
            let said = response.report().map(Report::disposition);
            assert_eq!(said, Some(Disposition::Unknown), "{status} {to}");
            // Logged in, the same request goes on under the same key.
            operation.send(&mut client, post(&uri)).await.unwrap();
            assert_eq!(operation.disposition(), Some(Disposition::Final));
            assert!(canned.asked().iter().all(|asked| asked.key() == operation.key().as_str()));
        }
    }
}

#[tokio::test]
async fn a_redirect_that_nothing_follows_is_judged_as_it_is() {
    for (turn, disposition) in [
        (redirect(303, "/login"), Disposition::Final),
        (redirect(307, "/login"), Disposition::Unknown),
        (redirect(308, "/login"), Disposition::Unknown),
    ] {
        let canned = Canned::turns([turn]);
        let (_server, uri) = canned.serve().await;
        let mut operation = begin().await;
        let client = MarkRedirects.layer(connections());
        operation.send(&mut quick().layer(client), post(&uri)).await.unwrap();
        assert_eq!((operation.disposition(), canned.count()), (Some(disposition), 1));
    }
}

#[tokio::test]
async fn a_follower_that_sends_the_same_request_again_is_noticed_too() {
    let canned = Canned::turns([redirect(307, "/elsewhere")]);
    let marked = MarkRedirects.layer(canned.clone());
    let follower = service_fn(move |request: Request<Full<Bytes>>| {
        let mut marked = marked.clone();
        async move {
            marked.call(request.clone()).await?;
            marked.call(request).await
        }
    });
    let response = quick().layer(follower).oneshot(post("/")).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.report().map(Report::disposition), Some(Disposition::Unknown));
}

#[tokio::test]
async fn a_client_that_follows_redirects_by_itself_can_say_so() {
    let follower = service_fn(|_: Request<Full<Bytes>>| async {
        let mut response = Response::new(Full::<Bytes>::default());
        response.extensions_mut().insert(Redirected);
        Ok::<_, std::convert::Infallible>(response)
    });
    let response = quick().layer(follower).oneshot(post("/")).await.unwrap();
    assert_eq!(response.report().map(Report::disposition), Some(Disposition::Unknown));
    // Without the layer, too.
    let mut operation = begin().await;
    let mut follower = follower;
    operation.send(&mut follower, post("/")).await.unwrap();
    assert_eq!(operation.disposition(), Some(Disposition::Unknown));
}

#[cfg(feature = "client-reqwest")]
mod with_reqwest {
    use reqwest::redirect::Policy;
    use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
    use tower_idempotency::client::observed_redirects;

    use super::*;

    fn over(policy: Policy) -> reqwest::Client {
        reqwest::Client::builder().redirect(policy).build().unwrap()
    }

    fn client(policy: Policy) -> ClientWithMiddleware {
        ClientBuilder::new(over(policy)).with(quick()).build()
    }

    #[tokio::test]
    async fn a_login_page_behind_a_redirect_does_not_settle_an_operation() {
        for (status, to) in
            [(302, TO[0]), (303, TO[0]), (307, TO[0]), (302, TO[1]), (303, TO[1]), (308, TO[1])]
        {
            for before in histories() {
                let canned =
                    Canned::turns(before.into_iter().chain([redirect(status, to), login_page()]));
                let (_server, uri) = canned.serve().await;
                let client = client(observed_redirects(Policy::default()));
                let mut operation = begin().await;
                let request = client.post(&uri).body("order");
                let response = operation.send_reqwest(request).await.unwrap();
                assert_eq!(response.status(), 200);
                let said = response.report().map(Report::disposition);
                assert_eq!(said, Some(Disposition::Unknown), "{status} {to}");
                operation.send_reqwest(client.post(&uri).body("order")).await.unwrap();
                assert_eq!(operation.disposition(), Some(Disposition::Final));
                assert!(canned.asked().iter().all(|asked| asked.key() == operation.key().as_str()));
            }
        }
    }

    #[tokio::test]
    async fn a_redirect_to_another_address_is_seen_without_the_policy() {
        let canned = Canned::turns([redirect(303, "/login"), login_page()]);
        let (_server, uri) = canned.serve().await;
        let response = client(Policy::default()).post(&uri).body("order").send().await.unwrap();
        assert_eq!(response.report().map(Report::disposition), Some(Disposition::Unknown));
    }

    #[tokio::test]
    async fn a_redirect_that_the_policy_stops_is_judged_as_it_is() {
        let stop_at_login = || {
            Policy::custom(|attempt| {
                if attempt.url().path() == "/login" { attempt.stop() } else { attempt.follow() }
            })
        };
        for (turns, disposition) in [
            (vec![redirect(303, "/login")], Disposition::Final),
            (vec![redirect(307, "/login")], Disposition::Unknown),
            (vec![redirect(303, TO[1]), redirect(303, "/login")], Disposition::Unknown),
        ] {
            let canned = Canned::turns(turns.clone());
            let (_server, uri) = canned.serve().await;
            let client = client(observed_redirects(stop_at_login()));
            let response = client.post(&uri).body("order").send().await.unwrap();
            assert!(response.status().is_redirection());
            assert_eq!(response.report().map(Report::disposition), Some(disposition), "{turns:?}");
        }
    }

    #[tokio::test]
    async fn an_address_with_a_fragment_or_a_user_is_not_a_redirect() {
        let canned = Canned::turns([]);
        let (_server, uri) = canned.serve().await;
        let uri = format!("{}#top", uri.replace("http://", "http://user:secret@"));
        let request = reqwest::Request::new(reqwest::Method::POST, uri.parse().unwrap());
        let response = client(Policy::default()).execute(request).await.unwrap();
        assert_eq!(response.report().map(Report::disposition), Some(Disposition::Final));
    }

    #[tokio::test]
    async fn without_the_layer_a_request_of_an_operation_has_its_key_and_is_judged() {
        let canned = Canned::turns([redirect(303, TO[1]), login_page(), Turn::done()]);
        let (_server, uri) = canned.serve().await;
        let bare = ClientBuilder::new(over(observed_redirects(Policy::default()))).build();
        let mut operation = begin().await;
        for disposition in [Disposition::Unknown, Disposition::Final] {
            let request = bare.post(&uri).header("idempotency-key", "other").body("order");
            let response = operation.send_reqwest(request).await;
            assert_eq!(response.report().map(Report::disposition), Some(disposition));
            assert_eq!(response.report().and_then(Report::key), Some(operation.key()));
        }
        assert!(canned.asked().iter().all(|asked| asked.key() == operation.key().as_str()));
    }
}
