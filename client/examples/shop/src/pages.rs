//! HTML. Whatever comes from the database or from a request goes through [`escape`].

use crate::cart::Basket;
use crate::catalogue::Product;
use crate::forms::FormToken;
use crate::load::{Counts, Outcome};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use larder_client::NodeStatus;
use larder_client::adapters::axum::LoggedIn;
use larder_client::cache::metrics::{Event, Stats};
use larder_client::cache::{Fetched, Origin};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            char => shown.push(char),
        }
    }
    shown
}

fn price(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents.unsigned_abs() % 100)
}

/// What is around every page.
pub(crate) struct Frame<'f> {
    customer: Option<(&'f str, u32)>,
    token: &'f FormToken,
}

impl<'f> Frame<'f> {
    pub(crate) fn new(mine: Option<&'f LoggedIn<Basket>>, token: &'f FormToken) -> Self {
        Self { customer: mine.map(|mine| (mine.user(), mine.data().count())), token }
    }

    pub(crate) fn nobody(token: &'f FormToken) -> Self {
        Self { customer: None, token }
    }

    fn token(&self) -> String {
        format!("<input type=\"hidden\" name=\"token\" value=\"{}\">", escape(self.token.as_str()))
    }

    /// A form that is nothing but a button, perhaps about a product.
    fn button(&self, action: &str, label: &str, product: Option<u32>) -> String {
        let product = product.map_or(String::new(), |id| {
            format!("<input type=\"hidden\" name=\"product\" value=\"{id}\">")
        });
        format!(
            "<form method=\"post\" action=\"{action}\">{}{product}<button>{}</button></form>",
            self.token(),
            escape(label)
        )
    }

    fn page(&self, title: &str, body: &str) -> Html<String> {
        let account = match self.customer {
            Some((name, count)) => format!(
                "<a href=\"/cart\" id=\"cart\">Cart ({count})</a><span id=\"name\">{}</span>{}",
                escape(name),
                self.button("/logout", "Log out", None)
            ),
            None => "<a href=\"/login\" id=\"login\">Log in</a>".to_owned(),
        };
        page(title, &account, body)
    }
}

/// Below every page. A browser shows an error page of ours only if it is longer than 512 bytes.
const FOOTER: &str = "<footer>A demonstration of Larder. Product pages come from its cache in front of \
                      a database, logins and carts are its sessions. Nothing is for sale.</footer>";

fn page(title: &str, account: &str, body: &str) -> Html<String> {
    let title = escape(title);
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} - The Larder</title>\
         <link rel=\"stylesheet\" href=\"/shop.css\"></head><body>\
         <header><a href=\"/\" class=\"name\">The Larder</a><nav>\
         <a href=\"/status\">Status</a>{account}</nav></header>\
         <main><h1>{title}</h1>{body}</main>{FOOTER}</body></html>\n"
    ))
}

/// GET /shop.css
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css")], include_str!("shop.css"))
}

/// Who answered.
fn from(origin: &Origin) -> String {
    let text = match origin {
        Origin::Node(node) => {
            let role = if node.is_primary { "the primary" } else { "a replica" };
            let zone = node.zone.as_deref().unwrap_or("unknown");
            format!("Answered by {role}, {}, in zone {zone}", node.node)
        }
        Origin::Local => "Answered from this process's memory".to_owned(),
        _ => "Loaded from the database".to_owned(),
    };
    format!("<p class=\"from\">{}.</p>", escape(&text))
}

pub(crate) fn front(frame: &Frame<'_>, front: &Fetched<Vec<Product>>) -> Html<String> {
    let mut body = "<ul class=\"shelf\">".to_owned();
    for product in front.value.as_deref().into_iter().flatten() {
        let (id, name) = (product.id, escape(&product.name));
        let price = price(product.price_cents);
        let _ = write!(body, "<li><a href=\"/product/{id}\">{name}</a><span>{price}</span></li>");
    }
    body += "</ul>";
    body += &from(&front.origin);
    frame.page("Good things that keep", &body)
}

pub(crate) fn product(frame: &Frame<'_>, product: &Product, origin: &Origin) -> Html<String> {
    let action = match frame.customer {
        Some(_) => frame.button("/cart/add", "Add to cart", Some(product.id)),
        None => "<p><a href=\"/login\">Log in</a> to buy.</p>".to_owned(),
    };
    let (about, price) = (escape(&product.about), price(product.price_cents));
    let body = format!("<p>{about}</p><p class=\"price\">{price}</p>{action}{}", from(origin));
    frame.page(&product.name, &body)
}

pub(crate) fn login(
    frame: &Frame<'_>,
    customers: &[(&str, &str)],
    complaint: Option<&str>,
) -> Html<String> {
    let complaint = complaint
        .map_or(String::new(), |text| format!("<p class=\"complaint\">{}</p>", escape(text)));
    let known = customers.iter().map(|(name, password)| {
        format!("<code>{}</code> with <code>{}</code>", escape(name), escape(password))
    });
    let known = known.collect::<Vec<_>>().join(", ");
    let body = format!(
        "{complaint}<form method=\"post\" action=\"/login\" class=\"fields\">{}\
         <label>Name <input name=\"name\" autocomplete=\"username\" required></label>\
         <label>Password <input name=\"password\" type=\"password\" \
         autocomplete=\"current-password\" required></label>\
         <button>Log in</button></form><p class=\"from\">Customers of this demonstration: {known}.</p>",
        frame.token()
    );
    frame.page("Log in", &body)
}

pub(crate) fn cart<'p>(
    frame: &Frame<'_>,
    lines: impl Iterator<Item = (&'p Product, u32)>,
) -> Html<String> {
    let (mut rows, mut sum) = (String::new(), 0);
    for (product, count) in lines {
        let cents = product.price_cents.saturating_mul(count.into());
        sum += cents;
        let _ = write!(
            rows,
            "<tr><td><a href=\"/product/{0}\">{1}</a></td><td class=\"number\">{count}</td>\
             <td class=\"number\">{2}</td><td>{3}</td></tr>",
            product.id,
            escape(&product.name),
            price(cents),
            frame.button("/cart/remove", "Remove", Some(product.id))
        );
    }
    if rows.is_empty() {
        return frame.page("Your cart", "<p>There is nothing in it.</p>");
    }
    let body = format!(
        "<table><tr><th>What</th><th>How many</th><th>Price</th><th></th></tr>{rows}\
         <tr><th>Together</th><td></td><td class=\"number\">{}</td><td></td></tr></table>",
        price(sum)
    );
    frame.page("Your cart", &body)
}

pub(crate) fn failure(text: &str) -> Html<String> {
    let body = "<p><a href=\"/login\">Log in</a>, or go to the <a href=\"/\">shelves</a>.</p>";
    page(text, "", body)
}

/// What the page about the status shows.
pub(crate) struct Status<'s> {
    pub(crate) nodes: &'s [NodeStatus],
    pub(crate) stats: &'s Stats,
    pub(crate) is_down: bool,
    pub(crate) load: &'s Counts,
    pub(crate) is_running: bool,
    pub(crate) said: Option<&'s str>,
}

pub(crate) fn status(frame: &Frame<'_>, status: &Status<'_>) -> Html<String> {
    let said = match status.said {
        Some("killed") => "The zone of the primary loses its power for five seconds.",
        Some("refused") => "The nodes refuse: a zone is without power already, or they have none.",
        Some("nozone") => "Nobody knows the zone of the primary.",
        _ => "",
    };
    let body = format!(
        "<p class=\"complaint\">{said}</p>{}<h2>Nodes</h2>{}<h2>The cache of products</h2>{}\
         <h2>The load{}</h2>{}",
        frame.button("/status/kill", "Kill the primary's zone under load", None),
        nodes(status.nodes),
        cache(status.stats, status.is_down),
        if status.is_running { " (running)" } else { "" },
        load(status.load)
    );
    frame.page("Status", &body)
}

fn nodes(nodes: &[NodeStatus]) -> String {
    let mut nodes: Vec<&NodeStatus> = nodes.iter().collect();
    nodes.sort_by(|one, other| one.node.cmp(&other.node));
    let mut table = "<table id=\"nodes\"><tr><th>Node</th><th>Zone</th><th>Role</th>\
                     <th>Behind by at most</th></tr>"
        .to_owned();
    for node in nodes {
        let role = if node.is_primary { "primary" } else { "replica" };
        let lag = node.lag.map_or("unknown".to_owned(), |lag| format!("{} ms", lag.as_millis()));
        let _ = write!(
            table,
            "<tr><td>{}</td><td>{}</td><td>{role}</td><td class=\"number\">{lag}</td></tr>",
            escape(&node.node),
            escape(node.zone.as_deref().unwrap_or("unknown"))
        );
    }
    table + "</table>"
}

fn cache(stats: &Stats, is_down: bool) -> String {
    let rows = [
        ("Hits", stats.hits()),
        ("... at replicas", stats.of(Event::ReplicaHit)),
        ("... at the primary", stats.of(Event::PrimaryHit)),
        ("Found that there is nothing", stats.of(Event::NegativeHit)),
        ("Misses", stats.of(Event::Miss)),
        ("Loads from the database", stats.of(Event::Load)),
        ("Old values given", stats.stale()),
        ("Loads too late to be stored", stats.of(Event::FillRefused)),
        ("Reads in another zone", stats.of(Event::CrossZone)),
        ("Requests to the cache that failed", stats.of(Event::CacheError)),
    ];
    let rows = rows
        .map(|(what, count)| format!("<tr><td>{what}</td><td class=\"number\">{count}</td></tr>"));
    let state = if is_down { "<p>It is not asked at the moment: too much failed.</p>" } else { "" };
    format!("{state}<table id=\"cache\">{}</table>", rows.concat())
}

fn load(counts: &Counts) -> String {
    let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let row = |what: &str, outcome: &Outcome| {
        let slowest_ms = number(&outcome.slowest_us) as f64 / 1000.0;
        format!(
            "<tr><td>{what}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{slowest_ms:.1} ms</td></tr>",
            number(&outcome.done),
            number(&outcome.failed)
        )
    };
    format!(
        "<table id=\"load\"><tr><th></th><th>Done</th><th>Failed</th><th>Slowest</th></tr>{}{}{}\
         </table><p>Reads that saw an old price: <b id=\"stale\">{}</b>. In the cart at the end: \
         <b id=\"kept\">{}</b>.</p>",
        row("Reads", &counts.reads),
        row("Changes of a price", &counts.changes),
        row("Things put into a cart", &counts.adds),
        number(&counts.stale),
        number(&counts.kept)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let shown = escape("<a href='x'>\"&\"</a>");
        assert_eq!(shown, "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;");
        assert_eq!(price(1205), "12.05");
    }
}
