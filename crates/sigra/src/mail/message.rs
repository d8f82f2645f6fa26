//! Emails as mail servers expect them, with their headers.

use lettre::{
    Address, Message,
    address::{AddressError, Envelope},
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use uuid::Uuid;

use crate::mail::{
    address::{domain_in_ascii, normalize_address},
    mail::Mail,
    transport::MailError,
};

/// Parses the sender. Its domain becomes ASCII, because not every mail server accepts other letters.
pub(super) fn sender(from: &str) -> Result<Mailbox, MailError> {
    let refused = || MailError::From(from.to_owned());
    let sender: Mailbox = from.parse().map_err(|_| refused())?;
    match domain_in_ascii(sender.email.domain()) {
        Some(domain) => {
            let email = Address::new(sender.email.user(), domain).map_err(|_| refused())?;
            Ok(Mailbox::new(sender.name, email))
        }
        None => Ok(sender),
    }
}

/// Composes an email. It has a `Message-ID` of the sender's domain (RFC 5322 section 3.6.4), because some servers
/// refuse emails without one, and a `Date`. An email is composed once, so both stay the same for all retries.
pub(super) fn compose(mail: &Mail, from: &Mailbox) -> Result<Message, MailError> {
    let to = address(&mail.to)?;
    // Without an envelope, Lettre parses the headers again, and refuses addresses that `address` accepts.
    let envelope = Envelope::new(Some(from.email.clone()), vec![to.clone()]);
    let mut message = Message::builder()
        .envelope(envelope.map_err(|error| MailError::Compose(error.into()))?)
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(&*mail.subject)
        .message_id(Some(format!("<{}@{}>", Uuid::new_v4(), from.email.domain())))
        .date_now();
    if let Some(reply_to) = &mail.reply_to {
        message = message.reply_to(Mailbox::new(None, address(reply_to)?));
    }
    // RFC 3834: an out-of-office reply would only reveal that the address is read.
    let message = message
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    let composed = match &mail.html {
        Some(html) => message.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => message.singlepart(SinglePart::plain(mail.text.clone())),
    };
    composed.map_err(|error| MailError::Compose(error.into()))
}

/// Parses an email address. Lettre refuses letters beyond ASCII before the @, but a mail server with `SMTPUTF8` accepts
/// them.
fn address(text: &str) -> Result<Address, MailError> {
    let parsed: Result<Address, AddressError> = text.parse().or_else(|error| {
        let normalized = normalize_address(text).ok_or(error)?;
        let (local, domain) = normalized.rsplit_once('@').ok_or(error)?;
        Ok(Address::new_dangerous(local, domain))
    });
    parsed.map_err(|error| MailError::Address(error.into()))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::*;

    use super::*;

    fn composed(mail: &Mail, from: &str) -> String {
        let message = compose(mail, &sender(from).expect("a sender")).expect("a message");
        String::from_utf8(message.formatted()).expect("UTF-8")
    }

    fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
        let (head, _) = message.split_once("\r\n\r\n").expect("a head");
        head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }

    #[test]
    fn every_email_has_the_headers_that_mail_servers_expect() {
        let mail = Mail::new("ada@example.com", "Hello", "How are you?").html("<p>How are you?</p>");
        let messages = [1, 2].map(|_| composed(&mail, "MyApp <hello@mail.example.com>"));
        for message in &messages {
            let [id] = headers(message, "Message-ID")[..] else { panic!("{message}") };
            let unique = id.strip_prefix('<').and_then(|id| id.strip_suffix("@mail.example.com>"));
            assert!(unique.is_some_and(|unique| unique.len() == 36), "{id}");
            assert_eq!(headers(message, "Date").len(), 1);
            assert_eq!(headers(message, "Auto-Submitted"), ["auto-generated"]);
            assert_eq!(headers(message, "Reply-To"), [""; 0]);
        }
        assert_ne!(headers(&messages[0], "Message-ID"), headers(&messages[1], "Message-ID"));
        assert_eq!(
            headers(&composed(&mail.reply_to("help@example.com"), "a@b.example"), "Reply-To"),
            ["help@example.com"]
        );
    }

    #[test]
    fn the_domain_of_a_sender_is_in_ascii() {
        let mail = Mail::new("ada@example.com", "Hello", "How are you?");
        let message = composed(&mail, "B\u{fc}cher <hello@b\u{fc}cher.example>");
        assert!(headers(&message, "From")[0].ends_with("<hello@xn--bcher-kva.example>"), "{message}");
        assert!(headers(&message, "Message-ID")[0].ends_with("@xn--bcher-kva.example>"), "{message}");
        assert!(sender("hello@127.0.0.1").is_ok() && sender("nobody").is_err());
    }

    #[test]
    fn recipients_can_have_characters_beyond_ascii() {
        // The last ones have a vowel sign, a combining accent and an emoji, which aren't letters.
        for to in [
            "\u{dc}nal@example.com",
            "m\u{131}ke@example.com",
            "\u{4f8b}@example.com",
            "\u{939}\u{93f}\u{902}\u{926}\u{940}@example.com",
            "jose\u{301}@example.com",
            "\u{1f600}@example.com",
        ] {
            let message = composed(&Mail::new(to, "Hello", "How are you?"), "hello@example.com");
            assert_eq!(headers(&message, "To"), [to], "{message}");
        }
    }

    #[test]
    fn an_error_names_its_cause_once() {
        let hello = Mail::new("ada@example.com", "Hello", "How are you?");
        for mail in [Mail::new("a@b@example.com", "Hello", "How are you?"), hello.reply_to("nobody")] {
            let refused =
                compose(&mail, &sender("hello@example.com").expect("a sender")).expect_err("an invalid address");
            assert!(matches!(refused, MailError::Address(_)), "{refused:?}");
            assert!(refused.to_string().len() > "invalid email address: ".len(), "{refused}");
            assert!(refused.source().is_none(), "logs that show the sources would repeat it");
        }
    }

    proptest! {
        #[test]
        fn an_email_can_be_composed_to_every_normalized_address(typed in "\\PC{1,12}@\\PC{1,8}\\.example") {
            if let Some(to) = normalize_address(&typed) {
                let mail = Mail::new(&*to, "Hello", "How are you?");
                let composed = compose(&mail, &sender("hello@example.com").expect("a sender"));
                prop_assert!(composed.is_ok(), "{}: {:?}", to, composed);
            }
        }
    }
}
