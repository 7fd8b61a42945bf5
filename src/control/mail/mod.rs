//! Mails on their way out: a letter becomes a message, and the message leaves by the configured way.
//!
//! Nothing here decides when; `control::service::mails` does, from rows that were written with what they tell of.
//! Everything that somebody chose - names, a personal message - passes through lettre's header encoding and askama's
//! escaping, so none of it can become a header, a recipient or markup.

mod letters;

use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Body, Mailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

pub(in crate::control) use self::letters::{EndingKey, InvitationLetter, NoticeLetter};
use crate::{
    config::{Mail, MailWay, Smtp, SmtpTls},
    domain::{email::Email, id::MailId, time::Timestamp},
};

/// How long a mail server may take for one mail.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent: kept sealed until it is delivered.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::control) struct Letter {
    /// The recipient's address.
    pub(in crate::control) to: String,
    pub(in crate::control) subject: String,
    pub(in crate::control) text: String,
    pub(in crate::control) html: String,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter(..)")
    }
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum NotSent {
    /// The letter cannot be written as a message.
    #[error("it cannot be written: {0}")]
    Message(String),
    /// A file could not be written, or not be read.
    #[error("{path}: {error}")]
    Folder {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// The server said that it never will.
    #[error("the mail server refuses it: {0}")]
    Refused(String),
    /// Not now.
    #[error("the mail server: {0}")]
    Server(String),
}

impl NotSent {
    /// Whether asking again is likely to give the same answer.
    pub(in crate::control) const fn is_final(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Refused(_))
    }
}

/// Sends a letter, or writes it where somebody else will. `ca` is a file with certificates that are trusted beside
/// the machine's. `written` and `id` make the message's Date and Message-ID:
/// sent twice, it is the same message.
pub(in crate::control) async fn send(
    mail: &Mail,
    ca: Option<&Path>,
    id: MailId,
    written: Timestamp,
    letter: &Letter,
) -> Result<(), NotSent> {
    let message = message(mail, id, written, letter)?;
    match &mail.way {
        MailWay::Folder(folder) => file(folder, id, &message.formatted()),
        MailWay::Smtp(smtp) => {
            let transport = transport(smtp, ca, mail.from.address.domain().as_str())?;
            match tokio::time::timeout(PATIENCE, transport.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) if error.is_permanent() => Err(NotSent::Refused(chain(&error))),
                Ok(Err(error)) => Err(NotSent::Server(chain(&error))),
                Err(_) => Err(NotSent::Server("no answer in time".into())),
            }
        }
    }
}

fn message(mail: &Mail, id: MailId, written: Timestamp, letter: &Letter) -> Result<Message, NotSent> {
    let wrong = |what: &dyn fmt::Display| NotSent::Message(what.to_string());
    let address =
        |email: &Email| Address::new(email.local(), email.domain().as_str()).map_err(|error| wrong(&error));
    let to: Email = letter.to.parse().map_err(|error: crate::domain::email::NotAnEmail| wrong(&error))?;
    let from = Mailbox::new(mail.from.name.clone(), address(&mail.from.address)?);
    let date = UNIX_EPOCH + Duration::from_micros(written.micros().max(0).unsigned_abs());
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    Message::builder()
        .from(from)
        .to(Mailbox::new(None, address(&to)?))
        .subject(&letter.subject)
        .date(date)
        .message_id(Some(format!("<{id}@{}>", mail.from.address.domain())))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .multipart(
            MultiPart::alternative()
                .singlepart(text(mail, letter))
                .singlepart(SinglePart::html(letter.html.clone())),
        )
        .map_err(|error| wrong(&error))
}

/// What people read. In a folder they look at the file itself, where a link has to be one line; a mail server may not
/// know what to do with that.
fn text(mail: &Mail, letter: &Letter) -> SinglePart {
    let short = letter.text.lines().all(|line| line.len() <= LONGEST_LINE);
    if !(short && matches!(mail.way, MailWay::Folder(_))) {
        return SinglePart::plain(letter.text.clone());
    }
    let lines = letter.text.lines().flat_map(|line| [line, "\r\n"]).collect::<String>();
    let body = Body::dangerous_pre_encoded(lines.into_bytes(), ContentTransferEncoding::EightBit);
    SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body)
}

/// In bytes, without its end (RFC 5322 section 2.1.1).
const LONGEST_LINE: usize = 998;

fn transport(
    smtp: &Smtp,
    ca: Option<&Path>,
    own: &str,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, NotSent> {
    let tls = match smtp.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::Wrapped => Tls::Wrapper(parameters(smtp, ca)?),
        SmtpTls::Required => Tls::Required(parameters(smtp, ca)?),
        SmtpTls::Opportunistic => Tls::Opportunistic(parameters(smtp, ca)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(tls)
        .hello_name(ClientId::Domain(own.to_owned()))
        .timeout(Some(PATIENCE));
    if let Some(login) = &smtp.login {
        builder = builder.credentials(Credentials::new(login.user.clone(), login.reveal().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(smtp: &Smtp, ca: Option<&Path>) -> Result<TlsParameters, NotSent> {
    let server = |error: lettre::transport::smtp::Error| NotSent::Server(chain(&error));
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if let Some(file) = ca {
        let unread = |error| NotSent::Folder { path: file.to_owned(), error };
        let pem = fs::read(file).map_err(unread)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(server)?);
    }
    builder.build().map_err(server)
}

/// Whole or not at all, readable by this user alone. Written twice, it is one file.
fn file(folder: &Path, id: MailId, bytes: &[u8]) -> Result<(), NotSent> {
    let path = folder.join(format!("{id}.eml"));
    let fresh = folder.join(format!(".{id}.new"));
    let write = || {
        private_folder(folder)?;
        let mut file = private_file(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    write().map_err(|error| NotSent::Folder { path: path.clone(), error })
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::File::create(path)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
