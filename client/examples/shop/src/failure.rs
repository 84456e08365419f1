//! What goes wrong, as pages. Details are for the log.

use crate::pages;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use larder_client::sessions::SessionError;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("there is no such thing")]
    NotFound,
    #[error("a form that none of our pages sent")]
    Forged,
    #[error("a form that cannot be read")]
    Unreadable,
    #[error("the session: {0}")]
    Session(#[from] SessionError),
    #[error("the catalogue: {0}")]
    Catalogue(#[from] larder_client::Error),
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("{0}")]
    Broken(String),
}

/// What is at no address of ours.
pub(crate) async fn not_found() -> Failure {
    Failure::NotFound
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND.into_response(),
            Self::Forged => StatusCode::FORBIDDEN.into_response(),
            Self::Unreadable => StatusCode::BAD_REQUEST.into_response(),
            Self::Session(error) => error.into_response(),
            Self::Catalogue(_) | Self::Database(_) | Self::Broken(_) => {
                tracing::error!(error = %self, "no page");
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    }
}

/// Makes pages of all refusals, those of extractors among them.
pub(crate) async fn shown(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let text = match parts.status {
        status if !status.is_client_error() && !status.is_server_error() => None,
        StatusCode::UNAUTHORIZED if parts.headers.contains_key(CONTENT_TYPE) => None,
        StatusCode::UNAUTHORIZED => Some("You are not logged in."),
        StatusCode::NOT_FOUND => Some("There is nothing here."),
        StatusCode::FORBIDDEN => Some("This form is too old. Go back and load it again."),
        StatusCode::CONFLICT => Some("Your cart was changed elsewhere. Try again."),
        status if status.is_client_error() => Some("This cannot be understood."),
        _ => Some("This does not work at the moment. Try again."),
    };
    let Some(text) = text else { return Response::from_parts(parts, body) };
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    let page = pages::failure(text).into_response();
    parts.headers.extend(page.headers().clone());
    Response::from_parts(parts, page.into_body())
}
