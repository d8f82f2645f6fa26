//! The mails that were sent, to be read in development. In production there is no such page.

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{Audience, Problem, Session};

use super::layout::{Layout, Page};
use crate::accounts::Accounts;

#[derive(Template)]
#[template(path = "mailbox.html")]
struct MailboxPage {
    layout: Layout,
    mails: Vec<Letter>,
}

/// A mail, its text cut into what is a link and what is not.
#[derive(Serialize)]
struct Letter {
    to: String,
    subject: String,
    text: String,
    #[serde(skip)]
    parts: Vec<Part>,
}

struct Part {
    text: String,
    is_link: bool,
}

/// The newest first.
pub async fn index(State(accounts): State<Accounts>, session: Session, headers: HeaderMap) -> Response {
    accounts.mailer().settle().await;
    let Some(mailbox) = accounts.mailer().mailbox() else {
        return Problem::new(axum::http::StatusCode::NOT_FOUND).into_response();
    };
    let mails: Vec<Letter> = mailbox.mails().into_iter().rev().map(letter).collect();
    match Audience::of(&headers) {
        Audience::Program => Json(mails).into_response(),
        Audience::Browser => {
            Page(MailboxPage { layout: Layout::new("Mailbox", &session, None), mails }).into_response()
        }
    }
}

fn letter(mail: sigra::mail::Mail) -> Letter {
    let words = mail.text.split_inclusive(char::is_whitespace);
    let parts = words.flat_map(|word| {
        let (text, space) = word.split_at(word.trim_end().len());
        [
            Part { text: text.to_owned(), is_link: text.starts_with("http") },
            Part { text: space.to_owned(), is_link: false },
        ]
    });
    let parts = parts.collect();
    Letter { to: mail.to, subject: mail.subject, text: mail.text, parts }
}
