//! What cache and nodes do, and a button that takes the power from the primary's zone.

use crate::Shop;
use crate::account::Press;
use crate::cart::Basket;
use crate::failure::Failure;
use crate::forms::{FormToken, Posted};
use crate::pages;
use axum::extract::{Query, State};
use axum::http::header::REFRESH;
use axum::response::{Html, IntoResponse, Redirect, Response};
use larder_client::adapters::axum::LoggedIn;
use serde::Deserialize;
use std::time::Duration;

/// How long the zone is without power.
const DARK: &[u8] = b"5s";
/// How long the load runs before that: hits come after misses.
const WARM_UP: Duration = Duration::from_secs(1);

/// What the last press of the button came to.
#[derive(Default, Deserialize)]
pub(crate) struct Told {
    said: Option<String>,
}

/// GET /status
pub(crate) async fn show(
    State(shop): State<Shop>,
    Query(told): Query<Told>,
    mine: Option<LoggedIn<Basket>>,
    token: FormToken,
) -> Response {
    let (seen, is_running) = shop.load.seen();
    let nodes = shop.net.nodes();
    let status = pages::Status {
        nodes: &nodes,
        stats: &shop.catalogue.stats(),
        is_down: shop.catalogue.is_down(),
        load: seen,
        is_running,
        said: told.said.as_deref(),
    };
    let page: Html<String> = pages::status(&pages::Frame::new(mine.as_ref(), &token), &status);
    if is_running {
        // The page looks again by itself while there is something to see.
        return ([(REFRESH, "1")], page).into_response();
    }
    page.into_response()
}

/// POST /status/kill
pub(crate) async fn kill(
    State(shop): State<Shop>,
    Posted(_): Posted<Press>,
) -> Result<Redirect, Failure> {
    shop.load.start();
    tokio::time::sleep(WARM_UP).await;
    let nodes = shop.net.nodes();
    let primary = nodes.iter().find(|node| node.is_primary);
    let Some(zone) = primary.and_then(|primary| primary.zone.as_deref()) else {
        return Ok(Redirect::to("/status?said=nozone"));
    };
    // Larder's nodes can do that to their own group; others do not know the command.
    let interrupt: [&[u8]; 4] = [b"GROUP", b"INTERRUPT-ZONE", zone.as_bytes(), DARK];
    let said = match shop.net.command(&interrupt).await {
        Ok(_) => "killed",
        Err(error) if error.is_failover() => "killed",
        Err(error) => {
            tracing::warn!(zone, %error, "no interruption");
            "refused"
        }
    };
    Ok(Redirect::to(&format!("/status?said={said}")))
}
