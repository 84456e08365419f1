//! What is sold: the database, and the cache in front of it.
//!
//! Every page reads through the cache. A change is made in the database first; then it invalidates
//! what was read before it, whether it succeeded or not. The SQL is what SQLite, PostgreSQL and
//! MariaDB have in common.

use crate::Shop;
use crate::account::Passwords;
use crate::cart::Basket;
use crate::failure::Failure;
use crate::forms::FormToken;
use crate::pages;
use axum::extract::{Path, State};
use axum::response::Html;
use larder_client::adapters::axum::LoggedIn;
use larder_client::cache::Fetched;
use larder_client::cache::metrics::Stats;
use larder_client::{Cache, Net};
use serde::{Deserialize, Serialize};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyPool, Row};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Connections to the database, and how long a request waits for one.
const CONNECTIONS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(5);
/// The key of the only front page.
const FRONT: &str = "front";

/// The customers of a new database, with their passwords: this is a demonstration.
pub(crate) const CUSTOMERS: [(&str, &str); 2] = [("ann", "tea"), ("bob", "jam")];

/// The products of a new database: name, price in cents, what is said of it.
const PRODUCTS: [(&str, i64, &str); 12] = [
    ("Assam tea", 640, "Strong and malty, for the first pot of the day."),
    ("Barley miso", 890, "Two years in cedar. A spoon of it is half a soup."),
    ("Blackcurrant jam", 520, "More fruit than sugar, and it is sharp."),
    ("Brown lentils", 310, "From small fields; they keep their shape."),
    ("Chestnut honey", 1150, "Dark, a little bitter. For cheese."),
    ("Dried porcini", 1490, "Forty grams are a forest."),
    ("Flat beans", 340, "Soak them overnight, or do not: then cook longer."),
    ("Olive oil", 1680, "Picked green, pressed the same day, unfiltered."),
    ("Rye flour", 290, "Stone-ground, all of the grain."),
    ("Salted capers", 470, "Rinse them well; \"well\" is twice."),
    ("Sea salt", 260, "Flakes & crumbs, as the sun left them."),
    ("Tinned tomatoes", 180, "San Marzano <the real ones>, peeled by hand."),
];

/// A product, as a page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) price_cents: i64,
    pub(crate) about: String,
    /// Grows with each change.
    pub(crate) version: u64,
}

/// The database and its caches. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Catalogue {
    database: Database,
    products: Cache<u32, Product>,
    fronts: Cache<str, Vec<Product>>,
}

impl Catalogue {
    /// Connects, and fills a database that is empty.
    pub(crate) async fn open(
        url: &str,
        net: &Net,
        passwords: &Passwords,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let database = Database::open(url, passwords).await?;
        Ok(Self {
            database,
            products: net.cache("products").build(),
            fronts: net.cache("fronts").build(),
        })
    }

    /// One product; no value where there is none.
    pub(crate) async fn product(&self, id: u32) -> Result<Fetched<Product>, Failure> {
        let database = self.database.clone();
        let load = move |_| async move { database.product(id).await };
        Ok(self.products.fetch(&id, load).detail().await?)
    }

    /// Many at once: one question to the cache, one to the database for what it does not have.
    pub(crate) async fn products(
        &self,
        ids: Vec<u32>,
    ) -> Result<HashMap<u32, Option<Arc<Product>>>, Failure> {
        let database = &self.database;
        let load = |missing| {
            let database = database.clone();
            async move { database.some(missing).await }
        };
        Ok(self.products.fetch_many(ids, load).await?)
    }

    async fn front(&self) -> Result<Fetched<Vec<Product>>, Failure> {
        let database = self.database.clone();
        let load = move |_| async move { database.products().await.map(Some) };
        Ok(self.fronts.fetch(FRONT, load).detail().await?)
    }

    /// Changes a price and gives the product's version from then on.
    pub(crate) async fn change_price(&self, id: u32, cents: i64) -> Result<u64, Failure> {
        let change = self.database.change_price(id, cents);
        let (version, _) = self.products.after_commit(&id, change).await?;
        self.fronts.invalidate(FRONT).await;
        Ok(version)
    }

    /// A customer's password, hashed. Secrets are in no cache.
    pub(crate) async fn password(&self, customer: &str) -> Result<Option<String>, Failure> {
        Ok(self.database.password(customer).await?)
    }

    /// The counts of the products' cache.
    pub(crate) fn stats(&self) -> Stats {
        self.products.stats()
    }

    /// Whether the cache is left alone because too much failed.
    pub(crate) fn is_down(&self) -> bool {
        self.products.is_down()
    }

    /// Which product the one of a number is, for who wants any.
    pub(crate) fn any(number: usize) -> u32 {
        (number % PRODUCTS.len()) as u32 + 1
    }
}

/// GET /
pub(crate) async fn shelves(
    State(shop): State<Shop>,
    mine: Option<LoggedIn<Basket>>,
    token: FormToken,
) -> Result<Html<String>, Failure> {
    let front = shop.catalogue.front().await?;
    Ok(pages::front(&pages::Frame::new(mine.as_ref(), &token), &front))
}

/// GET /product/{id}
pub(crate) async fn product(
    State(shop): State<Shop>,
    Path(id): Path<u32>,
    mine: Option<LoggedIn<Basket>>,
    token: FormToken,
) -> Result<Html<String>, Failure> {
    let found = shop.catalogue.product(id).await?;
    let product = found.value.as_deref().ok_or(Failure::NotFound)?;
    Ok(pages::product(&pages::Frame::new(mine.as_ref(), &token), product, &found.origin))
}

/// SQLite, PostgreSQL or MariaDB. Clones share their connections.
#[derive(Clone)]
struct Database {
    pool: AnyPool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
}

impl Database {
    async fn open(url: &str, passwords: &Passwords) -> Result<Self, Box<dyn std::error::Error>> {
        sqlx::any::install_default_drivers();
        let kind = match url.split(':').next() {
            Some("postgres" | "postgresql") => Kind::Postgres,
            Some("mysql" | "mariadb") => Kind::MariaDb,
            _ => Kind::Sqlite,
        };
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        let database = Self { pool: options.connect(url).await?, kind };
        database.fill(passwords).await?;
        Ok(database)
    }

    /// Makes the tables and fills them, unless that was done before. Two shops may do it at once.
    async fn fill(&self, passwords: &Passwords) -> Result<(), Box<dyn std::error::Error>> {
        for table in [
            "CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name VARCHAR(100) NOT NULL, \
             price_cents BIGINT NOT NULL, about VARCHAR(1000) NOT NULL, version BIGINT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS customers (name VARCHAR(64) PRIMARY KEY, \
             password VARCHAR(200) NOT NULL)",
        ] {
            sqlx::query(table).execute(&self.pool).await?;
        }
        for (id, (name, price_cents, about)) in (1i64..).zip(PRODUCTS) {
            let insert = self.insert_new("products (id, name, price_cents, about, version)", 5);
            let insert = sqlx::query(&insert).bind(id).bind(name).bind(price_cents).bind(about);
            insert.bind(1i64).execute(&self.pool).await?;
        }
        for (name, password) in CUSTOMERS {
            let insert = self.insert_new("customers (name, password)", 2);
            let password = passwords.hash(password).await?;
            sqlx::query(&insert).bind(name).bind(password).execute(&self.pool).await?;
        }
        Ok(())
    }

    /// An INSERT that leaves a row alone that is there.
    fn insert_new(&self, table: &str, columns: usize) -> String {
        let values = vec!["?"; columns].join(", ");
        let text = match self.kind {
            Kind::MariaDb => format!("INSERT IGNORE INTO {table} VALUES ({values})"),
            _ => format!("INSERT INTO {table} VALUES ({values}) ON CONFLICT DO NOTHING"),
        };
        self.sql(&text).into_owned()
    }

    /// The text as this database wants it: PostgreSQL numbers its parameters.
    fn sql<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.kind != Kind::Postgres {
            return Cow::Borrowed(text);
        }
        let mut parts = text.split('?');
        let mut numbered = parts.next().unwrap_or_default().to_owned();
        for (number, part) in (1..).zip(parts) {
            numbered += &format!("${number}{part}");
        }
        Cow::Owned(numbered)
    }

    async fn product(&self, id: u32) -> Result<Option<Product>, sqlx::Error> {
        let select =
            self.sql("SELECT id, name, price_cents, about, version FROM products WHERE id = ?");
        let row = sqlx::query(&select).bind(i64::from(id)).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    async fn some(&self, ids: Vec<u32>) -> Result<HashMap<u32, Option<Product>>, sqlx::Error> {
        let places = vec!["?"; ids.len()].join(", ");
        let select = format!(
            "SELECT id, name, price_cents, about, version FROM products WHERE id IN ({places})"
        );
        let select = self.sql(&select);
        let select = ids.iter().fold(sqlx::query(&select), |query, id| query.bind(i64::from(*id)));
        let rows = select.fetch_all(&self.pool).await?;
        let products = rows.iter().map(|row| read(row).map(|product| (product.id, Some(product))));
        products.collect()
    }

    async fn products(&self) -> Result<Vec<Product>, sqlx::Error> {
        let select = "SELECT id, name, price_cents, about, version FROM products ORDER BY id";
        sqlx::query(select).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    async fn change_price(&self, id: u32, cents: i64) -> Result<u64, sqlx::Error> {
        let update =
            self.sql("UPDATE products SET price_cents = ?, version = version + 1 WHERE id = ?");
        sqlx::query(&update).bind(cents).bind(i64::from(id)).execute(&self.pool).await?;
        let product = self.product(id).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(product.version)
    }

    async fn password(&self, customer: &str) -> Result<Option<String>, sqlx::Error> {
        let select = self.sql("SELECT password FROM customers WHERE name = ?");
        let row = sqlx::query(&select).bind(customer).fetch_optional(&self.pool).await?;
        row.map(|row| row.try_get("password")).transpose()
    }
}

fn read(row: &AnyRow) -> Result<Product, sqlx::Error> {
    let odd = |error: std::num::TryFromIntError| sqlx::Error::Decode(error.into());
    Ok(Product {
        id: row.try_get::<i64, _>("id")?.try_into().map_err(odd)?,
        name: row.try_get("name")?,
        price_cents: row.try_get("price_cents")?,
        about: row.try_get("about")?,
        version: row.try_get::<i64, _>("version")?.try_into().map_err(odd)?,
    })
}
