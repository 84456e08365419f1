//! A web shop: product pages come from the database cache, logins and carts are sessions.
//!
//! Nothing is needed to start it: it brings its own database file and its own group of nodes in three
//! zones. The modules, in the order in which a page is made of them:
//!
//! ```text
//! main       settings, start and end
//! catalogue  what is sold: the database, and the cache in front of it
//! account    logins and logouts
//! cart       what a customer is about to buy
//! status     what cache and nodes do, and a button that takes the power from the primary's zone
//! load       a little traffic, judged, so that the button is worth pressing
//! forms      forms that no other site can send
//! failure    what goes wrong, as pages
//! pages      HTML
//! ```

mod account;
mod cart;
mod catalogue;
mod failure;
mod forms;
mod load;
mod pages;
mod status;

use account::Passwords;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use cart::Basket;
use catalogue::Catalogue;
use larder_client::adapters::axum::SessionLayer;
use larder_client::{Endpoints, Net, Target, Tls};
use larder_server::Group;
use larder_server::config::{DirectiveOptions, WriteAcks};
use load::Load;
use std::env;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Everything that handlers need. Clones are the same shop.
#[derive(Clone)]
struct Shop {
    catalogue: Catalogue,
    passwords: Passwords,
    load: Arc<Load>,
    net: Net,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // What a group's consensus library thinks of lost nodes is not for whoever runs a shop.
    let wanted = Targets::new().with_default(LevelFilter::WARN);
    let wanted = wanted.with_target("openraft", LevelFilter::OFF);
    tracing_subscriber::registry().with(tracing_subscriber::fmt::layer()).with(wanted).init();
    let net = connect(env::var("LARDER_ENDPOINT").ok()).await?;
    // A database of its own goes with the process.
    let folder = tempfile::tempdir()?;
    let own = || format!("sqlite://{}/shop.db?mode=rwc", folder.path().display());
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| own());
    let passwords = Passwords::new()?;
    let catalogue = Catalogue::open(&url, &net, &passwords).await?;
    // What was just put into the cart has to be there on the next page: a replica may not have it yet.
    let sessions = net.sessions::<Basket>("shop").read_from(Target::Primary).build()?;
    let load = Arc::new(Load::new(&catalogue, &sessions));
    let shop = Shop { catalogue, passwords, load, net };
    let app = router(shop).layer(SessionLayer::new(&sessions));
    let address = env::var("SHOP_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address).await?;
    // Whoever reads the address may ask for the end at once.
    let ended = ended()?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(ended).await?;
    Ok(())
}

fn router(shop: Shop) -> Router {
    Router::new()
        .route("/", get(catalogue::shelves))
        .route("/product/{id}", get(catalogue::product))
        .route("/login", get(account::form).post(account::log_in))
        .route("/logout", post(account::log_out))
        .route("/cart", get(cart::show))
        .route("/cart/add", post(cart::add))
        .route("/cart/remove", post(cart::remove))
        .route("/status", get(status::show))
        .route("/status/kill", post(status::kill))
        .route("/shop.css", get(pages::style))
        .fallback(failure::not_found)
        .layer(from_fn(forms::guard))
        .layer(map_response(failure::shown))
        .layer(map_response(secure))
        .with_state(shop)
}

/// Pages load nothing but the style sheet, run nothing and are shown in no frame.
async fn secure(mut response: Response) -> Response {
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                  frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The nodes: those of `endpoint`, or a group inside this process. `endpoint` is one node, or
/// `primary,reader` as ElastiCache names them, or all nodes of a group; `rediss://` encrypts.
async fn connect(endpoint: Option<String>) -> Result<Net, Box<dyn Error>> {
    let zone = env::var("LARDER_ZONE").ok();
    let Some(text) = endpoint else {
        let start = || {
            let group = Group::builder().name("shop").zones(["a", "b", "c"]);
            group.write_acks(WriteAcks::Quorum).start()
        };
        let group = Arc::new(tokio::task::spawn_blocking(start).await??);
        let net = Net::builder().endpoints(Endpoints::in_process(&group));
        return Ok(net.zone(zone.as_deref().unwrap_or("b")).connect().await?);
    };
    let (is_encrypted, hosts) = match text.strip_prefix("rediss://") {
        Some(hosts) => (true, hosts),
        None => (false, text.strip_prefix("redis://").unwrap_or(&text)),
    };
    let hosts: Vec<&str> = hosts.trim_end_matches('/').split(',').map(str::trim).collect();
    let mut net = Net::builder().endpoints(match hosts[..] {
        [primary, reader] => Endpoints::elasticache(primary, reader)?,
        _ => Endpoints::nodes(hosts)?,
    });
    if is_encrypted {
        net = net.tls(Tls::system()?);
    }
    if let Ok(password) = env::var("LARDER_PASSWORD") {
        net = net.password(&password);
    }
    if let Some(zone) = zone {
        net = net.zone(&zone);
    }
    Ok(net.connect().await?)
}

/// Ends when somebody asks the process to.
fn ended() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
