//! What a customer is about to buy: data of his session.
//!
//! Two windows may add at once. Each change reads the cart anew and is made only if nobody else was
//! faster, so none is lost; after a logout there is no cart to come back.

use crate::Shop;
use crate::failure::Failure;
use crate::forms::{FormToken, Posted, Signed};
use crate::pages;
use axum::extract::State;
use axum::response::{Html, Redirect};
use larder_client::adapters::axum::LoggedIn;
use larder_client::sessions::data::SessionData;
use larder_client::sessions::{Session, SessionError, Sessions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Changes of one cart that may be in each other's way, before one of them is given up.
const TRIES: u32 = 20;
/// Of each product.
const MOST: u32 = 999;

/// What a session holds: how many of which product.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Basket {
    pub(crate) cart: BTreeMap<u32, u32>,
}

impl SessionData for Basket {
    const SCHEMA: &'static str = "basket-1";
}

impl Basket {
    /// How many things there are in it.
    pub(crate) fn count(&self) -> u32 {
        self.cart.values().sum()
    }

    /// Puts one more in.
    pub(crate) fn add(&mut self, product: u32) {
        let count = self.cart.entry(product).or_default();
        *count = (*count + 1).min(MOST);
    }
}

/// Changes a cart, however many others do.
pub(crate) async fn change(
    sessions: &Sessions<Basket>,
    session: &Session<Basket>,
    mut change: impl FnMut(&mut Basket),
) -> Result<(), SessionError> {
    for _ in 1..TRIES {
        match sessions.edit(session, &mut change).await {
            Err(SessionError::Conflict { .. }) => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
            }
            result => return result.map(drop),
        }
    }
    sessions.edit(session, change).await.map(drop)
}

/// What the forms around a product send.
#[derive(Deserialize)]
pub(crate) struct Wish {
    token: String,
    product: u32,
}

impl Signed for Wish {
    fn token(&self) -> &str {
        &self.token
    }
}

/// GET /cart
pub(crate) async fn show(
    State(shop): State<Shop>,
    mine: LoggedIn<Basket>,
    token: FormToken,
) -> Result<Html<String>, Failure> {
    let cart = &mine.data().cart;
    let products = shop.catalogue.products(cart.keys().copied().collect()).await?;
    let lines = cart.iter().filter_map(|(id, count)| {
        let product = products.get(id)?.as_deref()?;
        Some((product, *count))
    });
    Ok(pages::cart(&pages::Frame::new(Some(&mine), &token), lines))
}

/// POST /cart/add
pub(crate) async fn add(
    State(shop): State<Shop>,
    mine: LoggedIn<Basket>,
    Posted(wish): Posted<Wish>,
) -> Result<Redirect, Failure> {
    if shop.catalogue.product(wish.product).await?.value.is_none() {
        return Err(Failure::NotFound);
    }
    change(mine.visit().sessions(), &mine, |basket| basket.add(wish.product)).await?;
    Ok(Redirect::to("/cart"))
}

/// POST /cart/remove
pub(crate) async fn remove(
    mine: LoggedIn<Basket>,
    Posted(wish): Posted<Wish>,
) -> Result<Redirect, Failure> {
    let remove = |basket: &mut Basket| basket.cart.retain(|id, _| *id != wish.product);
    change(mine.visit().sessions(), &mine, remove).await?;
    Ok(Redirect::to("/cart"))
}
